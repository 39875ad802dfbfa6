import GDNTensor

/// A compression library of the system, opened when a file needs it and never linked.
package struct CodecLibrary {
    private let handle: UnsafeMutableRawPointer
    private let name: String

    /// Opens the first of `names` found, by the loader's path.
    /// - Parameters:
    ///   - names: file names in order of preference
    ///   - purpose: what it is for, in messages
    ///   - remedy: how to get it
    ///   - file: the file that needs it
    /// - Throws: `FormatError` naming the library and the remedy.
    package init(_ names: [String], purpose: String, remedy: String, file: String) throws {
        for name in names {
            if let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL) {
                self.handle = handle
                self.name = name
                return
            }
        }
        throw FormatError(
            file: file, rule: "\(purpose) needs \(names.joined(separator: " or ")), which is not installed",
            advice: remedy)
    }

    /// The function called `symbol`, as a C function type.
    /// - Throws: `FormatError` when the library is too old to have it.
    package func function<Function>(_ symbol: String, as _: Function.Type = Function.self, file: String) throws
        -> Function
    {
        guard let address = dlsym(handle, symbol) else {
            throw FormatError(
                file: file, rule: "\(name) has no function \(symbol)", advice: "install a newer version of it")
        }
        return unsafeBitCast(address, to: Function.self)
    }
}
