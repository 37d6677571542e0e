"""Train the reference model from scratch: ``python -m tools.reference_model.train --out DIR``."""

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn
from torch.nn import functional

from tools.reference_model import export, tokenizer
from tools.reference_model.curriculum import Rows, Stage, batch, stages
from tools.reference_model.evaluate import load
from tools.reference_model.initial import initialize
from tools.reference_model.model import Llama, Shape

SEED: Final = 1
_LONGEST: Final = 1024
_PARTS: Final = 4
_WARM_UP: Final = 30
_REPORT_EVERY: Final = 25


def to_tensors(
    rows: Rows, part: Sequence[int], pad: int, answer_weight: float
) -> tuple[Tensor, Tensor]:
    """Pad some rows on the right; weigh padding nothing and answers more than the rest."""
    width = max(len(rows.ids[row]) for row in part)
    tokens = torch.full((len(part), width), pad)
    weights = torch.zeros(len(part), width)
    for at, row in enumerate(part):
        ids = rows.ids[row]
        tokens[at, : len(ids)] = torch.tensor(ids)
        weights[at, : len(ids)] = 1.0
        weights[at, rows.answers[row]] = answer_weight
    return tokens, weights


def weighted_loss(model: Llama, tokens: Tensor, weights: Tensor, tally: Tensor) -> Tensor:
    """Return the weighted sum of the losses.

    ``tally`` counts up the losses' sum and number, over all tokens and over answers.
    """
    kept = weights[:, 1:].flatten().nonzero().squeeze(1)
    targets = tokens[:, 1:].flatten()[kept]
    weight = weights[:, 1:].flatten()[kept]
    hidden = model(tokens[:, :-1]).flatten(0, 1)[kept]
    each = functional.cross_entropy(model.logits(hidden), targets, reduction="none")
    answers = each.detach()[weight > 1.0]
    sums = (each.detach().sum(), len(each), answers.sum(), len(answers))
    tally += torch.tensor([float(value) for value in sums])
    return (each * weight).sum()


class Trainer:
    """The optimizer and the data's random numbers of one stage.

    Each stage starts with fresh ones, so that a training taken up again from a
    stage's begin goes on exactly as one that was never stopped.
    """

    def __init__(self, model: Llama, built: Tokenizer, stage: Stage, seed: int) -> None:
        """Start a stage; ``seed`` decides all its data."""
        self.model = model
        self.tokenizer = built
        self.stage = stage
        self.pad = tokenizer.token_id(built, tokenizer.EOS)
        self.rng = random.Random(f"{seed} {stage.name}")
        matrices = [weight for weight in model.parameters() if weight.ndim > 1]
        vectors = [weight for weight in model.parameters() if weight.ndim == 1]
        groups = [{"params": matrices, "weight_decay": 0.01},
                  {"params": vectors, "weight_decay": 0.0}]  # fmt: skip
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)
        self.begin = time.monotonic()

    def _set_rate(self, step: int) -> None:
        first, last = self.stage.rates
        rate = first + (last - first) * step / self.stage.steps
        for group in self.optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / _WARM_UP)

    def _accumulate(self, rows: Rows, tally: Tensor) -> None:
        """Add up the gradients of a batch, rows of like length together to pad little.

        Each worker takes its share of the parts, then all add theirs up.
        """
        order = sorted(range(len(rows.ids)), key=lambda at: len(rows.ids[at]))
        size = -(-len(order) // _PARTS)
        parts = [order[at : at + size] for at in range(0, len(order), size)]
        counted = torch.zeros(5)
        for part in parts[distributed.get_rank() :: distributed.get_world_size()]:
            tokens, weights = to_tensors(rows, part, self.pad, self.stage.answer_weight)
            torch.autograd.backward(weighted_loss(self.model, tokens, weights, counted[:4]))
            counted[4] += weights[:, 1:].sum()
        parameters = [*self.model.parameters()]
        grads = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
        flat = torch.cat([each.flatten() for each in grads] + [counted])
        distributed.all_reduce(flat)
        tally += flat[-5:-1]
        mean = torch.split(flat[:-5] / flat[-1], [each.numel() for each in parameters])
        for parameter, grad in zip(parameters, mean, strict=True):
            parameter.grad = grad.view_as(parameter)

    def run(self) -> None:
        """Train to the stage's goal or through all its steps."""
        stage = self.stage
        tally = torch.zeros(4)
        for step in range(stage.steps):
            self._set_rate(step)
            self.optimizer.zero_grad()
            self._accumulate(batch(self.rng, stage, self.tokenizer, _LONGEST), tally)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            if (step + 1) % _REPORT_EVERY == 0 or step + 1 == stage.steps:
                on_all, on_answers = (tally[::2] / tally[1::2].clamp(min=1)).tolist()
                seconds = time.monotonic() - self.begin
                if distributed.get_rank() == 0:
                    print(f"{stage.name} {step + 1}/{stage.steps} loss {on_all:.3f} answers "
                          f"{on_answers:.4f} seconds {seconds:.0f}", flush=True)  # fmt: skip
                tally.zero_()
                if (on_answers or on_all) < stage.goal:
                    return


def _work(rank: int, arguments: argparse.Namespace, meeting: str) -> None:
    """Train as one of the workers; the first one writes the checkpoints."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=arguments.workers
    )
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    built = tokenizer.load(arguments.out / "model")
    model = Llama(Shape())
    plan = stages(arguments.scale)
    if arguments.start == plan[0].name:
        initialize(model)
    else:
        model, _ = load(arguments.out)
    first = [stage.name for stage in plan].index(arguments.start)
    for stage in plan[first:]:
        Trainer(model, built, stage, arguments.seed).run()
        distributed.barrier()
        if rank == 0:
            export.write_model(model, built, arguments.out)
    distributed.destroy_process_group()


def main() -> None:
    """Write the embedded folder: data, tokenizer and the trained model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--scale", type=float, default=1.0, help="stretch every stage's steps")
    parser.add_argument("--start", default="copy", help="stage to go on from, with DIR's model")
    arguments = parser.parse_args()
    export.write_data(arguments.out)
    with TemporaryDirectory() as folder:
        meeting = str(Path(folder) / "meeting")
        spawn(_work, (arguments, meeting), nprocs=arguments.workers)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
