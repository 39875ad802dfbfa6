import GDNTensor

/// One of NVIDIA's libraries, opened when it is needed and never linked.
///
/// Looked for in this order: the folders of the environment variable `GDN_CUDA_LIBRARIES` (colon-separated),
/// `CUDA_HOME`, the loader's own path, the `nvidia/*/lib` folders of pip packages.
package struct SharedLibrary: @unchecked Sendable {
    /// File that was opened, e.g. `/usr/lib/x86_64-linux-gnu/libcuda.so.1`.
    package let path: String
    /// What the library is called in messages.
    package let title: String
    private let handle: UnsafeMutableRawPointer

    /// Opens the first of `names` found.
    /// - Parameters:
    ///   - title: what messages call it, e.g. `NVRTC`
    ///   - names: file names in order of preference
    ///   - remedy: how to get it
    /// - Throws: `BackendError` naming the library, the places tried and the remedy.
    package init(title: String, names: [String], remedy: String) throws {
        let folders = Self.folders()
        for folder in folders {
            for name in names {
                let candidate = folder.isEmpty ? name : "\(folder)/\(name)"
                if let handle = dlopen(candidate, RTLD_NOW | RTLD_GLOBAL) {
                    self.handle = handle
                    self.title = title
                    path = candidate
                    return
                }
            }
        }
        let places = folders.map { $0.isEmpty ? "the loader's path" : $0 }.joined(separator: ", ")
        throw BackendError("\(title) not found: no \(names.joined(separator: " or ")) in \(places); \(remedy)")
    }

    /// The function called `name`, as the C function type `Function`.
    /// - Throws: `BackendError` when the library is too old to have it.
    package func function<Function>(_ name: String, as _: Function.Type = Function.self) throws -> Function {
        guard let symbol = dlsym(handle, name) else {
            throw BackendError("\(title) at \(path) has no function \(name): it is too old, install CUDA 12.0 or newer")
        }
        return unsafeBitCast(symbol, to: Function.self)
    }

    /// Opens files of the library's own folder that it will ask the loader for by name alone.
    func openNeighbours(_ pattern: String) {
        guard let slash = path.lastIndex(of: "/") else { return }
        for file in Self.matches("\(path[..<slash])/\(pattern)") { _ = dlopen(file, RTLD_NOW | RTLD_GLOBAL) }
    }

    /// Folders to look in; the empty string stands for the loader's own path.
    static func folders() -> [String] {
        var folders: [String] = []
        if let setting = environment("GDN_CUDA_LIBRARIES") { folders += setting.split(separator: ":").map(String.init) }
        if let home = environment("CUDA_HOME") { folders += ["\(home)/lib64", "\(home)/lib"] }
        folders.append("")
        var packages: [String] = []
        if let virtual = environment("VIRTUAL_ENV") { packages.append("\(virtual)/lib/python3*/site-packages") }
        for entry in (environment("PATH") ?? "").split(separator: ":") where entry.hasSuffix("/bin") {
            packages.append("\(entry.dropLast(4))/lib/python3*/site-packages")
            packages.append("\(entry.dropLast(4))/lib/python3*/dist-packages")
        }
        if let home = environment("HOME") { packages.append("\(home)/.local/lib/python3*/site-packages") }
        packages.append("/usr/lib/python3/dist-packages")
        for pattern in packages { folders += matches("\(pattern)/nvidia/*/lib") }
        var seen: Set<String> = []
        return folders.filter { seen.insert($0).inserted }
    }

    private static func matches(_ pattern: String) -> [String] {
        var found = glob_t()
        defer { globfree(&found) }
        guard glob(pattern, 0, nil, &found) == 0, let paths = found.gl_pathv else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { paths[$0].map { String(cString: $0) } }
    }
}

/// An environment variable, or nil when unset or empty.
func environment(_ name: String) -> String? {
    guard let value = getenv(name) else { return nil }
    let text = String(cString: value)
    return text.isEmpty ? nil : text
}
