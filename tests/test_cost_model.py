"""The cost model prefers what is cheaper on every machine: sharing, and full rows."""

from hypothesis import given
from hypothesis import strategies as st

from quantgate.cost_model import CostModel
from quantgate.groups import PlanLimits
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood

LLAMA_1B = CostModel(linear=973_078_528, pair=65_536, cache=16_384)
models = st.builds(
    CostModel, linear=st.integers(1, 10**9), pair=st.integers(0, 10**6), cache=st.integers(0, 10**5)
)
sizes = st.integers(1, 2000)


@given(models, sizes, st.integers(0, 2000))
def test_cost_grows_with_tokens_and_prefix(model, size, prefix):
    assert model.row(size, prefix) < model.row(size + 1, prefix)
    assert model.row(size, prefix) <= model.row(size, prefix + 1)


@given(models)
def test_empty_prefix_costs_nothing(model):
    assert model.prefix(0) == 0.0


@given(models, st.integers(1, 500))
def test_prefix_costs_what_its_tokens_cost_alone(model, size):
    assert model.prefix(size) == model.row(size, 0)


def test_one_run_of_two_short_suffixes_beats_two_runs():
    assert LLAMA_1B.row(40, 700) < 2 * LLAMA_1B.row(20, 700)


def test_attention_heavy_models_get_narrower_rows():
    def widest(pair: int) -> int:
        cost = CostModel(linear=1_000_000, pair=pair, cache=0)
        limits = PlanLimits(packs=True, keeps_prefix=True, context=4096, cost=cost)
        shared = tuple(range(200))
        requests = [Loglikelihood((*shared, *[1000 + i] * 30), (1,)) for i in range(64)]
        plan = make_plan(requests, limits)
        return max(len(row.ids) for group in plan.groups for row in group.rows)

    assert widest(pair=100_000) < widest(pair=10)
