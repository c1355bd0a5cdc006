import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'tools' / 'detect.py'


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['missing.jpg', '--model', TOOL], "no file 'missing.jpg'"),
        ([TOOL, '--model=missing.onnx'], "no file 'missing.onnx'"),
        ([TOOL, '--model', TOOL], 'a config needs --checkpoint'),
        (
            [TOOL, '--model', TOOL.parent, '--checkpoint=x.pth'],
            'there is no file',
        ),
    ],
)
def test_bad_arguments(args, message, tmp_path):
    done = subprocess.run(
        [sys.executable, TOOL, *args],
        text=True,
        capture_output=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert message in done.stderr
