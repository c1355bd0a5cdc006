import pytest

from mmvovnet import cli


@pytest.mark.parametrize('command', cli.COMMANDS)
def test_commands_are_tools(command, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['mmvovnet', command, '--help'])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert not done.value.code
    assert f'usage: mmvovnet {command}' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('args', 'code'), [(['--help'], 0), ([], 0), (['fly'], 2)]
)
def test_usage(args, code, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['mmvovnet', *args])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert int(done.value.code) == code
    assert 'detect,export,convert,check,swap' in ''.join(capsys.readouterr())


def test_tools_of_an_installed_package(monkeypatch, tmp_path):
    monkeypatch.setattr(cli, '__file__', str(tmp_path / 'mmvovnet' / 'cli.py'))
    assert cli.tools() == tmp_path / 'mmvovnet' / '.mim' / 'tools'
