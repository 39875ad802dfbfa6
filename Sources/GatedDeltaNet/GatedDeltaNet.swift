// Everything public of the package under one import.
@_exported import GDNAutograd
@_exported import GDNCPUBackend
@_exported import GDNCUDABackend
@_exported import GDNData
@_exported import GDNEvaluation
@_exported import GDNFormats
@_exported import GDNInference
@_exported import GDNModels
@_exported import GDNOps
@_exported import GDNTensor
@_exported import GDNTokenizers
@_exported import GDNTraining
