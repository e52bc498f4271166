"""Wilson's interval of a share, which has a width at 0 % and 100 %, too."""

import math

LEVEL = 0.95
"""Coverage of every interval."""
Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


def wilson_interval(share: float, n: float, z: float = Z) -> tuple[float, float]:
    """Return Wilson's score interval of a share among n independent trials.

    Parameters
    ----------
    share
        0 to 1.
    n
        Number of trials, above 0; a fraction for trials that are not independent.
    z
        Quantile that sets the level, 95 % by default.

    Examples
    --------
    >>> [round(end, 4) for end in wilson_interval(0.5, 10)]
    [0.2366, 0.7634]
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - reach), min(1.0, centre + reach)
