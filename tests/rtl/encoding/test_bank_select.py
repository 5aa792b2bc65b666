"""Bank and row against the layout that the loader uses."""

import numpy as np
import pytest

from arch.bank_layout import N_BANK_BIT_POSITIONS, bank_of, squeeze
from arch.encoding_engine import EncodingEngineConfig
from rtl.encoding.bank_select import BankSelect


@pytest.mark.parametrize("table_rows", [64, 1 << 14])
@pytest.mark.parametrize("bank_ports", [2, 1])
@pytest.mark.parametrize("stalls", [False, True])
def test_matches_the_level_layout(table_rows, bank_ports, stalls, run_pipeline, seed):
    rng = np.random.default_rng(seed)
    config = EncodingEngineConfig(table_rows=table_rows, bank_ports=bank_ports)
    top = min(N_BANK_BIT_POSITIONS, config.index_bits - 1)
    inputs = []
    for number in range(200):
        bits = (
            np.sort(rng.choice(top, config.bank_bits, replace=False))
            if number
            else np.arange(top - config.bank_bits, top)
        )
        index = rng.integers(0, table_rows, 8)
        inputs.append({"index": index.tolist(), "bank_bits": bits.tolist()})
    results = run_pipeline(BankSelect(config), inputs, ["bank", "row"], config.bank_select_latency, stalls=stalls)
    for given, found in zip(inputs, results, strict=True):
        index, bits = np.array(given["index"]), tuple(given["bank_bits"])
        assert list(found["bank"]) == bank_of(index, bits).tolist()
        assert list(found["row"]) == squeeze(index, bits).tolist()
