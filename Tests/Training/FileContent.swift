import Foundation

/// The content of a file; nil when there is none.
func content(_ path: String) -> Data? { FileManager.default.contents(atPath: path) }
