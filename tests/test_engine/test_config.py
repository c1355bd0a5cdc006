import pytest

from mmvovnet.engine import load_config


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'tiny.py'
    path.write_text(
        "default_scope = 'mmpretrain'\n"
        'train_dataloader = dict(batch_size=2)\n'
        'test_dataloader = None\n'
        'model = dict(stages=[1, 2])\n'
    )
    return path


def test_defaults(path):
    cfg = load_config(path)
    assert cfg.work_dir == 'work_dirs/tiny'
    assert (cfg.launcher, cfg.runner_type) == ('none', 'mmvovnet.Runner')


def test_what_is_asked_for(path):
    with path.open('a') as file:
        file.write("work_dir = 'there'\nrunner_type = 'Own'\n")
    cfg = load_config(path, ['model.stages=3,4', 'train_dataloader.x=y'])
    assert (cfg.work_dir, cfg.runner_type) == ('there', 'Own')
    assert cfg.model.stages == [3, 4] and cfg.train_dataloader.x == 'y'
    assert load_config(path, work_dir='here').work_dir == 'here'


def test_mmpretrain_collates_by_default(path):
    collate = dict(type='default_collate')
    assert load_config(path).train_dataloader.collate_fn == collate
    options = ['train_dataloader.collate_fn.type=own', 'default_scope=mmdet']
    assert 'own' in str(load_config(path, options[:1]).train_dataloader)
    assert 'collate_fn' not in load_config(path, options[1:]).train_dataloader


def test_option_without_a_value(path):
    with pytest.raises(ValueError, match="'model.depth' is no option"):
        load_config(path, ['model.depth'])


def test_spaces_of_names_and_paths_stay(path):
    options = [
        'a.classes=[red cell, platelet]',
        'root=my data/cells',
        'b=1, 2',
    ]
    cfg = load_config(path, options)
    assert cfg.a.classes == ['red cell', 'platelet']
    assert cfg.root == 'my data/cells'
    assert cfg.b == [1, 2]


def test_the_scope_of_the_model_without_a_default_scope(path):
    path.write_text("model = dict(type='mmdet.FCOS')\n")
    assert load_config(path).default_scope == 'mmdet'


def test_a_run_replaces_no_config_that_inherits(tmp_path):
    """A run writes its config, whole, to its work dir."""
    whole, heir = tmp_path / 'whole.py', tmp_path / 'heir.py'
    whole.write_text('model = dict()')
    heir.write_text("_base_ = './whole.py'")
    load_config(whole, work_dir=str(tmp_path))
    load_config(heir, work_dir=str(tmp_path / 'run'))
    with pytest.raises(ValueError, match=r"heir.py' would overwrite"):
        load_config(heir, work_dir=str(tmp_path))
