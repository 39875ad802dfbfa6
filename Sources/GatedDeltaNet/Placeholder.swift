@_exported import GDNModels
