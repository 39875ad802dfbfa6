import GDNTensor

/// A file that cannot be read or written as what it claims to be.
///
/// Says which file, which part of it (a tensor, a key, a line), which rule is broken and what to do.
public struct FormatError: Error, CustomStringConvertible, Equatable, Sendable {
    /// The file, as the caller named it; empty for bytes that came from no file.
    public let file: String
    /// The part of the file, e.g. `tensor model.norm.weight` or `line 12`; nil for the file as a whole.
    public let part: String?
    /// The broken rule, with what was expected and what came.
    public let rule: String
    /// What the user can do.
    public let advice: String

    /// An error of `file`.
    public init(file: String, part: String? = nil, rule: String, advice: String) {
        self.file = file
        self.part = part
        self.rule = rule
        self.advice = advice
    }

    /// `file: part: rule; advice`
    public var description: String {
        let place = [file, part ?? ""].filter { !$0.isEmpty }.joined(separator: ": ")
        return "\(place.isEmpty ? "" : place + ": ")\(rule); \(advice)"
    }

    /// A system call on `file` that failed with this error number.
    package static func system(_ call: String, file: String, _ code: Int32 = errno) -> FormatError {
        let advice =
            switch code {
            case ENOENT: "check the path"
            case EACCES, EPERM, EROFS: "check the permissions, or choose another folder"
            case ENOSPC, EDQUOT: "free some space; what was written before is intact"
            case EMFILE, ENFILE: "too many files are open: raise the limit (ulimit -n)"
            default: "check the file and the disk"
            }
        return FormatError(
            file: file, rule: "\(call) failed: \(String(cString: strerror(code)))", advice: advice)
    }
}
