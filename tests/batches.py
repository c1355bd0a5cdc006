"""Small random images with what each library has to say of them."""

import numpy as np
import torch


def classification(images, classes):
    from mmpretrain.structures import DataSample

    return [DataSample().set_gt_label(i % classes) for i in range(len(images))]


def segmentation(images, classes):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples = []
    for image in images:
        sample = SegDataSample()
        size = image.shape[1:]
        labels = torch.randint(classes, (1, *size))
        sample.gt_sem_seg = PixelData(data=labels)
        sample.set_metainfo(
            dict(img_shape=size, ori_shape=size, pad_shape=size)
        )
        samples.append(sample)
    return samples


def mono3d(images, classes, velocity):
    """Two objects in front of a camera, 10 m and 20 m away."""
    from mmdet3d.structures import CameraInstance3DBoxes, Det3DDataSample
    from mmengine.structures import InstanceData

    samples = []
    for image in images:
        height, width = image.shape[1:]
        camera = np.eye(4, dtype=np.float32)
        camera[0, 0] = camera[1, 1] = width
        camera[:2, 2] = width / 2, height / 2
        boxes = [[-1, 0, 10, 4, 2, 2, 0.1], [2, 0, 20, 4, 2, 2, 0.2]]
        boxes = torch.tensor([box + [0.5, 0.5] * velocity for box in boxes])
        labels = torch.arange(2) % classes
        centers = boxes[:, :2] / boxes[:, 2:3] * width
        centers += torch.tensor([width / 2, height / 2])
        sizes = torch.tensor([12.0, 8.0])
        gt_3d = InstanceData(
            bboxes_3d=CameraInstance3DBoxes(boxes, boxes.size(1)),
            labels_3d=labels,
            centers_2d=centers,
            depths=boxes[:, 2],
            attr_labels=torch.zeros(2, dtype=torch.long),
        )
        gt = InstanceData(
            bboxes=torch.cat([centers - sizes, centers + sizes], 1),
            labels=labels,
        )
        sample = Det3DDataSample(gt_instances_3d=gt_3d, gt_instances=gt)
        sample.eval_ann_info = None
        sample.set_metainfo(
            dict(
                img_shape=(height, width),
                ori_shape=(height, width),
                pad_shape=(height, width),
                scale_factor=(1.0, 1.0),
                cam2img=camera.tolist(),
                box_type_3d=CameraInstance3DBoxes,
                trans_mat=np.diag([0.25, 0.25, 1.0]).astype(np.float32),
                affine_aug=False,
            )
        )
        samples.append(sample)
    return samples
