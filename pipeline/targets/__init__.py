"""What a label is: a class of several, any of many labels, a number, or whether an answer is right.

Each target is a file: how rows spell its labels, what is learned, predicted and measured.
`catalogue.py` is the one place that knows which targets there are.
"""

from savs.foundation.imports import lazy_imports

with lazy_imports(globals()):
    from savs.pipeline.targets.catalogue import (
        ADDED_TARGETS as ADDED_TARGETS,
        TARGETS as TARGETS,
        chosen_target as chosen_target,
        is_chosen as is_chosen,
        labels_of as labels_of,
        parse_decision as parse_decision,
        target_named as target_named,
        target_of as target_of,
        target_package as target_package,
    )
    from savs.pipeline.targets.target import Target as Target
