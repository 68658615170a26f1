"""From a PyTorch module to one that runs encrypted at a low depth, with its accuracy kept.

    import strongroom
    import strongroom.torch

    converted = strongroom.torch.convert(model, sample)
    report = strongroom.torch.fine_tune(converted, loader, epochs=5, validation=held_out)
    print(report)
    package = strongroom.protect(converted, sample=sample)

`convert` replaces every ReLU, GELU, SiLU and so on by a polynomial of degree 2 that can be trained,
and max pooling by average pooling; `fine_tune` trains what came out for a few epochs, so that the
network gets used to it. Encrypted, a parabola costs one level; a ReLU would cost four or more.

What is not exported here is not public. Importing this needs PyTorch: `strongroom[torch]`.
"""

from strongroom.models.extras import extra

try:
    from strongroom.torch.calibration import Replacement
    from strongroom.torch.conversion import Converted, convert
    from strongroom.torch.export import export_onnx
    from strongroom.torch.fine_tuning import fine_tune
    from strongroom.torch.polynomials import PolynomialActivation
    from strongroom.torch.report import Epoch, Report
except ModuleNotFoundError:
    extra("torch")  # says which extra brings it, where it is what is missing
    raise

__all__ = [
    "Converted",
    "Epoch",
    "PolynomialActivation",
    "Replacement",
    "Report",
    "convert",
    "export_onnx",
    "fine_tune",
]
