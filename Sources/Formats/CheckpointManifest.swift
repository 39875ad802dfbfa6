/// What a checkpoint folder must hold: every file's size and checksum, and a checksum of the list itself.
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
package struct CheckpointManifest: Equatable {
    /// The file's name inside a checkpoint folder.
    package static let fileName = "manifest.json"
    private static let format = 1

    /// The optimiser step of the checkpoint.
    package var step: Int
    /// Size and checksum by file name.
    package var files: [String: FileDigest]

    /// The manifest as JSON, with a checksum over its own content.
    package var text: String {
        let body = body
        return JSONValue.object([
            "format": .integer(Self.format), "content": body, "xxh64": .string(Self.checksum(body)),
        ]).text(indented: true) + "\n"
    }

    private var body: JSONValue {
        var list = JSONObject()
        for (name, digest) in files.sorted(by: { $0.key < $1.key }) {
            list[name] = .object(["bytes": .integer(digest.byteCount), "xxh64": .string(digest.checksum)])
        }
        return .object(["step": .integer(step), "files": .object(list)])
    }

    private static func checksum(_ body: JSONValue) -> String {
        var hash = XXH64()
        Array(body.text().utf8).withUnsafeBytes { hash.update($0) }
        return hash.text
    }

    /// The manifest of a step, with its files as far as they are written.
    package init(step: Int, files: [String: FileDigest] = [:]) {
        self.step = step
        self.files = files
    }

    /// Reads the manifest of a checkpoint folder.
    /// - Throws: `CheckpointError` when there is none, or it is damaged.
    package init(folder: String) throws {
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
        var files: [String: FileDigest] = [:]
        for (name, value) in list.members {
            guard let bytes = value["bytes"]?.integer, let checksum = value["xxh64"]?.string else { throw damaged }
            files[name] = FileDigest(byteCount: bytes, checksum: checksum)
        }
        self.init(step: step, files: files)
        let file = try MappedFile(path)
        let isExact = withExtendedLifetime(file) { file.bytes.elementsEqual(text.utf8) }
        guard isExact else { throw damaged }
    }

    /// The manifest of a model folder, where it is a checkpoint of this program.
    /// - Returns: nil where there is no manifest, or it is another program's
    /// - Throws: `CheckpointError` when it is damaged.
    package static func ofModel(_ folder: String) throws -> CheckpointManifest? {
        let path = "\(folder)/\(fileName)"
        guard access(path, F_OK) == 0 else { return nil }
        // No single flipped bit takes away both keys.
        if let json = try? JSONValue(contentsOf: path), json["content"] == nil, json["xxh64"] == nil { return nil }
        return try CheckpointManifest(folder: folder)
    }

    /// Compares files of the folder with the manifest.
    /// - Parameters:
    ///   - advice: what to do about a file that differs
    ///   - isWanted: which of the listed files to look at
    /// - Throws: `CheckpointError` naming the first file that is missing, truncated or changed.
    package func verify(
        folder: String, advice: String = "use another checkpoint", where isWanted: (String) -> Bool = { _ in true }
    ) throws {
        for (name, expected) in files.sorted(by: { $0.key < $1.key }) where isWanted(name) {
            let path = "\(folder)/\(name)"
            guard access(path, F_OK) == 0 else {
                throw CheckpointError(folder, file: name, "is missing; \(advice)")
            }
            let found = try FileDigest(of: path)
            guard found.byteCount == expected.byteCount else {
                throw CheckpointError(
                    folder, file: name,
                    "has \(found.byteCount) bytes, the manifest says \(expected.byteCount): truncated or overwritten; "
                        + advice)
            }
            guard found.checksum == expected.checksum else {
                throw CheckpointError(
                    folder, file: name,
                    "has checksum \(found.checksum), the manifest says \(expected.checksum): its content changed; "
                        + advice)
            }
        }
    }
}
