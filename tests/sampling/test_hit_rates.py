"""Hit rates of caches, by hand and against a cache."""

import pytest
import torch

from hopflow.sampling.hit_rates import ChanceBins

pytestmark = pytest.mark.cpu_only


def test_hit_rates_by_hand_and_against_a_cache():
    chances = torch.tensor([0.5, 0.0, 0.25, 0.25])
    assert ChanceBins(chances).fixed_hit_rates([0, 1, 2, 9]) == [0, 0.5, 0.75, 1]
    assert ChanceBins(chances).recent_hit_rates([3, 4]) == [1, 1]
    nothing = ChanceBins(torch.zeros(3))
    assert nothing.recent_hit_rates([1]) == nothing.fixed_hit_rates([1]) == [0]
    # Sizes between bins, against all rows sorted.
    many = torch.rand(5000) ** 8
    order = many.sort(descending=True).values.double().cumsum(0)
    (rate,) = ChanceBins(many).fixed_hit_rates([777])
    assert rate == pytest.approx(float(order[776] / order[-1]), rel=1e-3)
    # Equal chances: a cache of half of the rows has half of them.
    (rate,) = ChanceBins(torch.full((1000,), 0.01)).recent_hit_rates([500])
    assert rate == pytest.approx(0.5, abs=0.01)
    # A simulated cache of the rows used last.
    torch.manual_seed(0)
    chances = torch.rand(400) ** 6
    kept: dict[int, None] = {}
    hits = total = 0
    for batch in range(3000):
        rows = (torch.rand(400) < chances).nonzero().squeeze(1).tolist()
        if batch > 500:
            hits, total = hits + sum(row in kept for row in rows), total + len(rows)
        for row in rows:
            kept.pop(row, None)
            kept[row] = None
        while len(kept) > 160:
            del kept[next(iter(kept))]
    (rate,) = ChanceBins(chances).recent_hit_rates([160])
    assert rate == pytest.approx(hits / total, abs=0.03)
