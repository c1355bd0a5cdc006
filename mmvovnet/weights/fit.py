"""How much of a model a checkpoint fills."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import load_checkpoint
from torch import nn

from .adapter import summary
from .errors import CheckpointError


class Fit:
    """The weights of a model that a checkpoint holds, and those it lacks."""

    def __init__(self, model: nn.Module) -> None:
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = cast(nn.Module, model.module)
        self.model = model
        self.shapes = {
            name: tuple(value.shape)
            for name, value in model.state_dict().items()
            if not name.endswith('num_batches_tracked')
        }
        self.missing = list(self.shapes)
        self.wrong: dict[str, tuple[int, ...]] = {}

    @property
    def loaded(self) -> int:
        """How many weights were loaded."""
        return len(self.shapes) - len(self.missing) - len(self.wrong)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Note what is missing or of another shape in what is loaded within.

        mmengine passes over both.
        """

        def compare(_: nn.Module, state: dict[str, Any], *args: Any) -> None:
            for name, value in state.items():
                shape = tuple(getattr(value, 'shape', ()))
                if shape != self.shapes.get(name, shape):
                    self.wrong[name] = shape

        def note(_: nn.Module, keys: Any) -> None:
            lacks = set(keys.missing_keys)
            self.missing = [name for name in self.shapes if name in lacks]

        handles = (
            self.model.register_load_state_dict_pre_hook(compare),
            self.model.register_load_state_dict_post_hook(note),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __str__(self) -> str:
        said = f'{self.loaded} of {len(self.shapes)} weights'
        if self.missing:
            said += f'; missing are {summary(self.missing)}'
        if self.wrong:
            shapes = [
                f'{name} {shape} (here {self.shapes[name]})'
                for name, shape in self.wrong.items()
            ]
            said += f'; of another shape are {summary(shapes)}'
        return said

    def require(self, source: str, may_miss: Sequence[str] = ()) -> None:
        """Refuse a checkpoint that does not fill the model.

        Names that begin with one of ``may_miss`` need not be filled.
        """
        if any(
            not name.startswith(tuple(may_miss))
            for name in (*self.missing, *self.wrong)
        ):
            raise CheckpointError(
                f"'{source}' does not fit the model: it holds {self}. Is it "
                'of another config? Parts that may stay random are named by '
                "may_miss, e.g. may_miss=['bbox_head']"
            )


def load_weights(
    model: nn.Module, source: str | Path, may_miss: Sequence[str] = ()
) -> dict[str, Any]:
    """Load all weights of a model from a file or URL; return its ``meta``."""
    fit = Fit(model)
    with fit.recorded():
        checkpoint = load_checkpoint(
            model, str(source), 'cpu', logger='silent'
        )
    fit.require(str(source), may_miss)
    return checkpoint.get('meta') or {}
