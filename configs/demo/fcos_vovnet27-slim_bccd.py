# Blood cells: the example of docs/own_data.md. data/bccd/ holds the folders
# Annotations, ImageSets and JPEGImages of the BCCD data set (VOC XML); if they
# are elsewhere, link them: ln -s /path/to/bccd data/bccd
_base_ = ['_base_/bccd.py', '_base_/fcos.py']

model = dict(
    data_preprocessor=_base_.pixels,
    bbox_head=dict(num_classes=3),
)
