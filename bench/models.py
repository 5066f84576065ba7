"""Random models of any size, with the files of a tokenizer that is at hand.

    python bench/models.py FOLDER --tokenizer DIR [--type bert] [--layers 12] [--hidden 768] …
"""

import argparse
import shutil
from pathlib import Path

# The files of a folder that make its tokenizer; config.json says whose it is.
TOKENIZER_FILES = {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "special_tokens_map.json"}


def write(folder, tokenizer, kind="bert", layers=12, hidden=768, heads=None, intermediate=None, positions=512, labels=2, seed=1, spread=0.02):
    """Writes a random model; it takes what the tokenizer makes, pairs of types 0 and 1 where it is BERT's."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder, tokenizer = Path(folder), Path(tokenizer)
    of_roberta = (tokenizer / "merges.txt").exists()
    sizes = dict(
        vocab_size=50265 if of_roberta else 30522, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads or hidden // 64,
        intermediate_size=intermediate or 4 * hidden, type_vocab_size=1 if of_roberta else 2, num_labels=labels, initializer_range=spread,
    )
    torch.manual_seed(seed)
    if kind == "roberta":
        config = transformers.RobertaConfig(
            **sizes, max_position_embeddings=positions + 2, layer_norm_eps=1e-5, pad_token_id=1 if of_roberta else 0)
        model = transformers.RobertaForSequenceClassification(config)
    else:
        model = transformers.BertForSequenceClassification(transformers.BertConfig(**sizes, max_position_embeddings=positions))
    model.save_pretrained(folder)
    for file in tokenizer.iterdir():
        if file.name in TOKENIZER_FILES:
            shutil.copy(file, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--tokenizer", required=True, help="folder with a tokenizer's files")
    parser.add_argument("--kind", choices=["bert", "roberta"], default="bert")
    for name, default in dict(layers=12, hidden=768, heads=0, intermediate=0, positions=512, labels=2, seed=1).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--spread", type=float, default=0.02, help="standard deviation of the weights")
    write(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
