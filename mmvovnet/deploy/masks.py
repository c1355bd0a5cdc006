"""The mask branch of CenterMask in exported files."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from mmvovnet.models.centermask import AdaptiveRoIExtractor, CenterMaskRoIHead

_LEVELS = ('map0', 'map1', 'map2')
_FOUND = ('boxes', 'scores', 'labels', 'image_ids')


class MaskBranch(nn.Module):
    """Masks and their scores for boxes, as a function of tensors alone.

    mmcv's ``RoIAlign`` becomes torchvision's ``roi_align``, and that ONNX's
    ``RoiAlign``. Each box is cut from all levels and one of them is taken, so
    that nothing depends on where the boxes lie. The image of the level rule
    is the whole input, padding too.

    Args:
        roi_head (CenterMaskRoIHead): The branch.
    """

    def __init__(self, roi_head: CenterMaskRoIHead) -> None:
        super().__init__()
        self.extractor = roi_head.mask_roi_extractor
        self.mask_head = roi_head.mask_head
        self.mask_iou_head = roi_head.mask_iou_head
        if not isinstance(self.extractor, AdaptiveRoIExtractor):
            raise ValueError(
                f'masks of a {type(self.extractor).__name__} cannot be '
                'exported, those of an AdaptiveRoIExtractor can; use outputs='
                "'boxes'"
            )

    def forward(
        self,
        maps: list[Tensor],
        boxes: Tensor,
        scores: Tensor,
        labels: Tensor,
        image_ids: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Map levels (N, C, H_i, W_i) and K boxes to masks.

        Returns:
            tuple[Tensor, Tensor]: Probabilities of shape (K, 28, 28) within
            the boxes, and the masks' scores, shape (K,).
        """
        rois = torch.cat([image_ids[:, None].to(boxes.dtype), boxes], 1)
        stride = self.extractor.featmap_strides[0]
        height, width = maps[0].shape[-2:]
        area = boxes.new_ones(1) * (height * width * stride**2)
        levels = self.extractor.map_roi_levels(rois, area)
        feats = sum(
            roi_align(
                x,
                rois,
                layer.output_size,
                layer.spatial_scale,
                layer.sampling_ratio,
                layer.aligned,
            )
            * (levels == i).to(boxes.dtype)[:, None, None, None]
            for i, (layer, x) in enumerate(
                zip(self.extractor.roi_layers, maps, strict=True)
            )
        )
        logits = self.mask_head(feats)
        index = labels[:, None, None, None].expand(-1, 1, *logits.shape[2:])
        mask = logits.gather(1, index)[:, 0]
        if self.mask_iou_head is not None:
            ious = self.mask_iou_head(feats, mask)
            scores = scores * ious.gather(1, labels[:, None])[:, 0]
        return mask.sigmoid(), scores


def append_masks(file: Path, branch: MaskBranch) -> list[str]:
    """Let an ONNX file compute the masks of what it detects.

    Args:
        file (Path): With the outputs ``map0``... and those of suppression; it
            is rewritten.
        branch (MaskBranch): In eval mode.

    Returns:
        list[str]: Names of the outputs.
    """
    import onnx

    detector = onnx.load(file)
    branch_model = onnx.compose.add_prefix(_branch(branch), 'branch/')
    pairs = [(name, f'branch/{name}') for name in (*_LEVELS, *_FOUND)]
    merged = onnx.compose.merge_models(
        detector,
        branch_model,
        pairs,
        outputs=[*_FOUND, 'branch/masks', 'branch/mask_scores'],
    )
    names = [*_FOUND, 'masks', 'mask_scores']
    plain = {f'branch/{name}': name for name in names[len(_FOUND) :]}
    for node in merged.graph.node:
        node.input[:] = [plain.get(x, x) for x in node.input]
        node.output[:] = [plain.get(x, x) for x in node.output]
    for output in merged.graph.output:
        output.name = plain.get(output.name, output.name)
    for prop in merged.metadata_props:
        if prop.key == 'outputs':
            prop.value = json.dumps(names)
    onnx.checker.check_model(merged)
    onnx.save(merged, file)
    return names


def _branch(branch: MaskBranch) -> Any:
    strides = branch.extractor.featmap_strides
    channels = branch.extractor.out_channels
    maps = [torch.rand(2, channels, 256 // s, 320 // s) for s in strides]
    boxes = torch.tensor([[0.0, 0, 250, 250], [9, 9, 50, 60], [0, 0, 160, 99]])
    labels, image_ids = torch.zeros(3).long(), torch.tensor([0, 1, 1])
    free = torch.export.Dim.DYNAMIC
    count = {0: free}
    shapes = ([{0: free, 2: free, 3: free}] * 3, count, count, count, count)
    given = (maps, boxes, torch.ones(3), labels, image_ids)
    with torch.no_grad():
        program = torch.export.export(branch, given, dynamic_shapes=shapes)
        onnx_program = torch.onnx.export(
            program,
            given,
            dynamo=True,
            verbose=False,
            input_names=[*_LEVELS, *_FOUND],
            output_names=['masks', 'mask_scores'],
        )
    return onnx_program.model_proto
