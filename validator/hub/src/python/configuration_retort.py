"""config.json for transformers: AutoConfig.from_pretrained(..., trust_remote_code=True).

Written by the validator. It adds to config.json's own fields what transformers calls by other names.
"""

from transformers import PretrainedConfig


class RetortConfig(PretrainedConfig):
    model_type = "retort"

    def __init__(self, architecture=None, input=None, labels=None, **others):
        names = {index: str(label) for index, label in enumerate(labels or [])}
        others.setdefault("id2label", names)
        others.setdefault("label2id", {label: index for index, label in names.items()})
        super().__init__(**others)
        self.architecture, self.input, self.labels = architecture, input, labels
