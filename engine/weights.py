"""Weights on disk: find, check, add and read the models of this computer.

A model is a folder. The embedded one is ``resources/weights/builtin``, the user's are below
:func:`models_folder`. These kinds are known::

    triptych-generator    generator.json  transformer.safetensors  autoencoder.safetensors
    dit                   model.safetensors, with the key names of the original DiT program
    diffusers-dit, stable-diffusion, stable-diffusion-xl
                          model_index.json and the parts it names, in the layout of diffusers
    vae                   config.json and the weights of an AutoencoderKL; decodes for a ``dit``

beside optional files: ``MODEL_CARD.md``, ``model.json`` (title, licence, source, heads, VAE, and
the place of a model whose files stay where they are) and ``SHA256SUMS`` in the format of the
program sha256sum, which :func:`verify_model` compares with.

Nothing is unpickled here; see :mod:`engine.weights_conversion`.
"""

from engine.model_adding import add_model, remove_model
from engine.model_folders import BUILTIN, models_folder
from engine.model_info import ModelInfo
from engine.model_inspection import (
    class_names,
    find_model,
    inspect_model,
    list_broken,
    list_models,
    verify_model,
    write_checksums,
)
from engine.model_recognition import describe_generator
from engine.weight_files import explain_mismatch, read_safetensors, sha256_of

__all__ = [
    "BUILTIN",
    "ModelInfo",
    "add_model",
    "class_names",
    "describe_generator",
    "explain_mismatch",
    "find_model",
    "inspect_model",
    "list_broken",
    "list_models",
    "models_folder",
    "read_safetensors",
    "remove_model",
    "sha256_of",
    "verify_model",
    "write_checksums",
]
