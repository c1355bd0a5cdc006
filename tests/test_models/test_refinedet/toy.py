"""Four images with coloured boxes, and trainings on them.

``torchrun toy.py FOLDER`` trains a model without batch norms, by mmvovnet's
Runner, on all four images in each step.
"""

import os
import sys

import numpy as np
import torch
from mmdet.evaluation import eval_map
from mmdet.structures import DetDataSample
from mmengine.registry import DATASETS, RUNNERS
from mmengine.structures import InstanceData
from torch.utils.data import Dataset

from tests.test_models.test_refinedet import small

SIZE = 128


@DATASETS.register_module()
class FourImages(Dataset):
    """Three boxes in each, one of each class, which is their colour."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.samples = []
        for _ in range(4):
            image = generator.integers(100, size=(3, SIZE, SIZE))
            sides = generator.integers(24, 56, size=(3, 2))
            # in three of the four quarters, so that none hides another
            quarters = generator.permutation(4)[:3]
            corners = np.stack([quarters % 2, quarters // 2], 1) * SIZE // 2
            corners += generator.integers(8, size=(3, 2))
            for label, ((x, y), (w, h)) in enumerate(
                zip(corners, sides, strict=True)
            ):
                image[label, y : y + h, x : x + w] = 255
            boxes = np.hstack([corners, corners + sides])
            truth = InstanceData(
                bboxes=torch.as_tensor(boxes, dtype=torch.float),
                labels=torch.arange(3),
            )
            sample = DetDataSample(
                gt_instances=truth,
                metainfo=dict(
                    img_shape=(SIZE, SIZE),
                    ori_shape=(SIZE, SIZE),
                    scale_factor=(1.0, 1.0),
                ),
            )
            inputs = torch.as_tensor(image, dtype=torch.uint8)
            self.samples.append(dict(inputs=inputs, data_samples=sample))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict:
        return self.samples[index]


def model_config():
    cfg = small.config(planes=None, residual=False, norm_cfg=None)
    cfg['backbone']['norm_cfg'] = dict(type='GN', num_groups=8)
    return cfg


def train(folder):
    world = int(os.environ['WORLD_SIZE'])
    runner = RUNNERS.build(
        dict(
            default_scope='mmdet',
            runner_type='mmvovnet.Runner',
            model=model_config(),
            work_dir=str(folder),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=3),
            train_dataloader=dict(
                dataset=dict(type='FourImages'),
                sampler=dict(type='DefaultSampler', shuffle=False),
                batch_size=4 // world,
                collate_fn=dict(type='pseudo_collate'),
            ),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            default_hooks=dict(
                checkpoint=dict(
                    type='CheckpointHook', by_epoch=False, interval=1
                )
            ),
            launcher='pytorch',
            randomness=dict(seed=0),
            log_level='WARNING',
        )
    )
    runner.train()


def overfit(steps=300):
    """Train a small model on the four images; return its COCO mAP on them."""
    detector = small.build(planes=16)
    dataset = FourImages()
    data = {
        key: [sample[key] for sample in dataset.samples]
        for key in ('inputs', 'data_samples')
    }
    optimizer = torch.optim.AdamW(detector.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 3e-3, total_steps=steps
    )
    detector.train()
    for _ in range(steps):
        batch = detector.data_preprocessor(data, training=True)
        losses = detector.loss(*batch.values())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 10)
        optimizer.step()
        schedule.step()
    detector.eval()
    with torch.no_grad():
        results = [r.pred_instances for r in detector.test_step(data)]
    found = [
        [
            torch.cat([r.bboxes, r.scores[:, None]], 1)[
                r.labels == label
            ].numpy()
            for label in range(3)
        ]
        for r in results
    ]
    truths = [
        dict(bboxes=t.bboxes.numpy(), labels=t.labels.numpy())
        for t in (s['data_samples'].gt_instances for s in dataset.samples)
    ]
    return np.mean(
        [
            eval_map(found, truths, iou_thr=iou, logger='silent')[0]
            for iou in np.arange(0.5, 1, 0.05)
        ]
    )


if __name__ == '__main__':
    torch.set_num_threads(1)
    train(sys.argv[1])
