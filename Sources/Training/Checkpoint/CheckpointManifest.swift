/// What a checkpoint folder must hold: every file's size and checksum, and a checksum of the list itself.
import GDNFormats
import GDNTensor

/// A checkpoint that cannot be written, found or trusted; names the folder, the file and what to do.
public struct CheckpointError: Error, CustomStringConvertible, Equatable, Sendable {
    /// The checkpoint or run folder.
    public let folder: String
    /// The file in it that is at fault, if one is.
    public let file: String?
    /// What is wrong and what to do.
    public let message: String

    /// An error of a folder.
    public init(_ folder: String, file: String? = nil, _ message: String) {
        self.folder = folder
        self.file = file
        self.message = message
    }

    /// `folder/file: message`
    public var description: String { "\(file.map { "\(folder)/\($0)" } ?? folder): \(message)" }
}

/// `manifest.json` of a checkpoint, written last: its presence says that everything else was written.
struct CheckpointManifest: Equatable {
    static let fileName = "manifest.json"
    static let format = 1

    /// The optimiser step of the checkpoint.
    var step: Int
    /// Size and checksum by file name.
    var files: [String: FileOperations.Written]

    /// The manifest as JSON, with a checksum over its own content.
    var text: String {
        let body = body
        return JSONValue.object([
            "format": .integer(Self.format), "content": body, "xxh64": .string(Self.checksum(body)),
        ]).text(indented: true) + "\n"
    }

    private var body: JSONValue {
        var list = JSONObject()
        for (name, written) in files.sorted(by: { $0.key < $1.key }) {
            list[name] = .object(["bytes": .integer(written.byteCount), "xxh64": .string(written.checksum)])
        }
        return .object(["step": .integer(step), "files": .object(list)])
    }

    private static func checksum(_ body: JSONValue) -> String {
        var hash = XXH64()
        Array(body.text().utf8).withUnsafeBytes { hash.update($0) }
        return hash.text
    }

    init(step: Int, files: [String: FileOperations.Written]) {
        self.step = step
        self.files = files
    }

    /// Reads the manifest of a checkpoint folder.
    /// - Throws: `CheckpointError` when there is none, or it is damaged.
    init(folder: String) throws {
        let path = "\(folder)/\(Self.fileName)"
        guard access(path, F_OK) == 0 else {
            throw CheckpointError(
                folder,
                "is no complete checkpoint: it has no \(Self.fileName); name a folder like runs/NAME/step-00001000")
        }
        let damaged = CheckpointError(folder, file: Self.fileName, "is damaged; use another checkpoint")
        guard let json = try? JSONValue(contentsOf: path) else { throw damaged }
        guard json["format"]?.integer == Self.format, let body = json["content"], let step = body["step"]?.integer,
            let list = body["files"]?.object, json["xxh64"]?.string == Self.checksum(body)
        else { throw damaged }
        var files: [String: FileOperations.Written] = [:]
        for (name, value) in list.members {
            guard let bytes = value["bytes"]?.integer, let checksum = value["xxh64"]?.string else { throw damaged }
            files[name] = FileOperations.Written(byteCount: bytes, checksum: checksum)
        }
        self.init(step: step, files: files)
        guard try MappedFile(path).bytes.elementsEqual(text.utf8) else { throw damaged }
    }

    /// Compares every file of the folder with the manifest.
    /// - Throws: `CheckpointError` naming the first file that is missing, truncated or changed.
    func verify(folder: String) throws {
        for (name, expected) in files.sorted(by: { $0.key < $1.key }) {
            let path = "\(folder)/\(name)"
            guard access(path, F_OK) == 0 else {
                throw CheckpointError(folder, file: name, "is missing; use another checkpoint")
            }
            let found = try Self.digest(path)
            guard found.byteCount == expected.byteCount else {
                throw CheckpointError(
                    folder, file: name,
                    "has \(found.byteCount) bytes, the manifest says \(expected.byteCount): truncated or overwritten; "
                        + "use another checkpoint")
            }
            guard found.checksum == expected.checksum else {
                throw CheckpointError(
                    folder, file: name,
                    "has checksum \(found.checksum), the manifest says \(expected.checksum): its content changed; "
                        + "use another checkpoint")
            }
        }
    }

    /// Size and checksum of a file as it lies on the disk.
    static func digest(_ path: String) throws -> FileOperations.Written {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FormatError.system("open", file: path) }
        defer { _ = close(descriptor) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var hash = XXH64()
        var total = 0
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count == 0 { return FileOperations.Written(byteCount: total, checksum: hash.text) }
            if count < 0 {
                if errno == EINTR { continue }
                throw FormatError.system("read", file: path)
            }
            hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            total += count
        }
    }
}
