"""Functions that run in a process of their own, which they may kill."""

import json
import os
import signal
import warnings

import torch


def forked(function, *args, seconds=30):
    """What the function returns, or the name of the signal that killed it."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of threads that the child lacks
        child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        try:
            torch.set_num_threads(1)
            os.write(writer, json.dumps(function(*args)).encode())
        except BaseException as error:
            os.write(writer, json.dumps(repr(error)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, 'rb') as file:
        said = file.read()
    _, status = os.waitpid(child, 0)
    return json.loads(said) if said else signal.Signals(status & 127).name
