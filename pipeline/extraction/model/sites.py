"""Sites: the places of a language model that features are read from. Heads are the default."""

from dataclasses import dataclass

from savs.foundation.errors import ParameterError

HEADS = "heads"
"""As `HEADS_SITE` of `savs.stores`, which imports numpy."""
RESIDUAL, ATTENTION, MLP, NORM = "residual", "attention", "mlp", "norm"
NAMES = (HEADS, RESIDUAL, ATTENTION, MLP, NORM)
LAST, IMAGE_MEAN = "last", "image-mean"
POOLINGS = (LAST, IMAGE_MEAN)
SLICES = "slices"


@dataclass(frozen=True, slots=True)
class Site:
    """What is read, and how it becomes heads of a store.

    Examples
    --------
    >>> Site("residual", is_sliced=True).label
    'residual-slices'
    """

    name: str = HEADS
    """`heads`: what the heads of a layer give to its output projection; `residual`: the stream
    after a layer; `attention`, `mlp`: what that block adds to the stream; `norm`: the stream after
    the last layer and its norm."""
    is_sliced: bool = False
    """Whether a vector of hidden width is cut into pieces as wide as an attention head."""
    pooling: str = LAST
    """Read at the last token, or the mean over the tokens of the prompt's images."""

    @property
    def label(self) -> str:
        """What options, stores and folders call it."""
        pooled = [IMAGE_MEAN] if self.pooling == IMAGE_MEAN else []
        return "-".join([self.name, *([SLICES] if self.is_sliced else []), *pooled])


AT_HEADS = Site()
"""What is read by default."""
KNOWN = {
    site.label: site
    for name in NAMES
    for is_sliced in ((False, True) if name != HEADS else (False,))
    for site in (Site(name, is_sliced, pooling) for pooling in POOLINGS)
}
"""Label -> site, in the order in which several are kept: the first of a run leads."""


def parse_site(label: str) -> Site:
    """Return the site of a label; ParameterError for another text."""
    if label not in KNOWN:
        raise ParameterError(f"`site` is {label!r}, expected one of {', '.join(NAMES)}")
    return KNOWN[label]


def parse_sites(site: str | None, *, slices: bool, pooling: str) -> tuple[Site, ...]:
    """Return the sites of a run's options, in the order of `KNOWN`; none if no option was given.

    ParameterError if a name is unknown or there twice, or `slices` has nothing to cut.
    """
    if pooling not in POOLINGS:
        raise ParameterError(f"`pooling` is {pooling!r}, expected {' or '.join(POOLINGS)}")
    if site is None and not slices and pooling == LAST:
        return ()
    labels = []
    for label in (site or HEADS).split(","):
        named = parse_site(label.strip())
        is_sliced = named.is_sliced or (slices and named.name != HEADS)
        pooled = pooling if named.pooling == LAST else named.pooling
        labels.append(Site(named.name, is_sliced, pooled).label)
    if slices and all(KNOWN[label].name == HEADS for label in labels):
        raise ParameterError("`slices` cuts wide vectors, and heads are not; add `site` residual")
    if len(set(labels)) < len(labels):
        raise ParameterError(f"`site` is {site!r}, expected each name once")
    return tuple(KNOWN[label] for label in sorted(labels, key=[*KNOWN].index))
