import warnings

import pytest

from mmvovnet.engine.known_warnings import KNOWN, ignore_known_warnings


@pytest.mark.parametrize('message', KNOWN)
def test_known_warnings_are_ignored_and_no_others(message):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        ignore_known_warnings()
        warnings.simplefilter('always')  # as a later import may
        warnings.warn(f'{message} ...', UserWarning, stacklevel=1)
        assert not seen
        warnings.warn(f'another: {message}', UserWarning, stacklevel=1)
        assert len(seen) == 1
