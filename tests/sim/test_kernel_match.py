"""Which cluster matches an H200's fused kernels."""

from math import ceil, isclose

import pytest

from arch.errors import InputError
from sim.machine.cluster_batch import cluster_clk
from sim.machine.kernel_match import MEASURED_POINTS, kernel_matches


def test_the_cluster_takes_as_many_points_as_the_gpu_and_one_less_would_not():
    rows = kernel_matches("h200", encodings=["hashgrid"])
    assert [row.app for row in rows] == ["nerf", "nsdf", "gia", "nvr"]
    for row in rows:
        taken = [
            MEASURED_POINTS / cluster_clk(row.app, "hashgrid", n, MEASURED_POINTS) for n in (row.n_nfp - 1, row.n_nfp)
        ]
        assert taken[0] < row.gpu_gpoints_per_s <= taken[1] and isclose(taken[1], row.ngpc_gpoints_per_s)
        assert row.memory_gpoints_per_s > row.ngpc_gpoints_per_s
        assert row.gpu_mark == "M"
    by_app = {row.app: row for row in rows}
    # 4.04 billion points a second, five clocks each
    assert by_app["nerf"].n_nfp == ceil(5 / 0.2478) == 21
    # 45 engines that never start empty would do, at 15.0 for the GPU's 14.9
    assert by_app["gia"].n_nfp == ceil(3 / 0.06694) + 1 == 46
    assert by_app["nerf"].gpu_nj_per_point == 176
    assert all(0 < row.ngpc_nj_per_point < row.gpu_nj_per_point / 20 for row in rows)


def test_energy_is_shown_only_where_it_was_measured():
    rows = {(row.app, row.encoding): row for row in kernel_matches("h200", apps=["nerf", "nvr"])}
    assert rows["nerf", "lowres"].gpu_nj_per_point == 46
    assert rows["nvr", "lowres"].gpu_nj_per_point is None
    # nobody measured the dense volume: the signed distance field's kernel stands in
    assert (rows["nerf", "lowres"].gpu_mark, rows["nvr", "lowres"].gpu_mark) == ("M", "D")


def test_a_gpu_without_measured_kernels_has_no_rows():
    assert kernel_matches("rtx3090") == kernel_matches("orin") == []
    with pytest.raises(InputError, match=r"^gpu preset must be one of h200, orin, rtx3090, not 'b200'$"):
        kernel_matches("b200")
