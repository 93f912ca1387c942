"""The practical limit: how fast the interpreter multiplies plain int8 matrices on this machine.

matmul.tflite is one fully connected int8 layer, 1024 x 256 times 256 x 256, made by `python -m convert.matmul`.
"""

import time
from functools import cache
from pathlib import Path

import numpy as np

from device.models.interpreter import interpreter_class

MATMUL = Path(__file__).parent / "matmul.tflite"
ROWS, DEPTH, COLUMNS = 1024, 256, 256
GMAC = ROWS * DEPTH * COLUMNS / 1e9


@cache
def usual_limit_gmac_s(threads: int) -> float:
    """`int8_limit_gmac_s`, measured once in a process.

    Raises:
        ModelError: no interpreter is installed.
    """
    return int8_limit_gmac_s(threads)


def int8_limit_gmac_s(threads: int, runs: int = 30) -> float:
    """Multiply-accumulates per second in 1e9: the median of some products.

    Args:
        threads: of the interpreter.
        runs: how many products.

    Raises:
        ModelError: no interpreter is installed.
    """
    interpreter = interpreter_class()(model_path=str(MATMUL), num_threads=threads)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    codes = np.random.default_rng(1).integers(-128, 128, given["shape"], dtype=np.int8)
    interpreter.set_tensor(given["index"], codes)
    interpreter.invoke()
    spent = []
    for _ in range(runs):
        begin = time.perf_counter()
        interpreter.invoke()
        spent.append(time.perf_counter() - begin)
    return GMAC / float(np.median(spent))
