import GDNTensor

/// Writes a TensorBoard event file: scalars and texts by step.
///
/// The file is a sequence of records `length (u64), masked CRC-32C of the length, data, masked CRC-32C of the data`
/// (TFRecord, https://www.tensorflow.org/tutorials/load_data/tfrecord); each datum is an `Event` protocol buffer
/// (tensorflow/core/util/event.proto). The few fields needed are encoded here by hand.
public final class EventFile {
    /// The file.
    public let path: String
    private let file: OutputFile

    /// Creates `events.out.tfevents.<seconds>.<host>.<suffix>` in a folder that exists, as TensorBoard expects it.
    /// - Parameters:
    ///   - folder: the run's folder
    ///   - time: seconds since 1970
    ///   - suffix: tells files of one second apart; files are read in the order of their names
    /// - Throws: `FormatError` when the file cannot be made.
    public init(folder: String, time: Double, suffix: String = "\(getpid())") throws {
        var name = [CChar](repeating: 0, count: 256)
        let host =
            gethostname(&name, 255) == 0
            ? String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) : "host"
        let seconds = "\(Int(time))"
        let padded = String(repeating: "0", count: max(0, 10 - seconds.count)) + seconds
        path = "\(folder)/events.out.tfevents.\(padded).\(host).\(suffix)"
        file = try OutputFile(path)
        var event = ProtocolBuffer()
        event.double(1, time)
        event.text(3, "brain.Event:2")
        try write(event)
    }

    /// Appends values of one step, each under its tag.
    /// - Parameters:
    ///   - scalars: tags (`loss`, `train/loss`, …) with values; NaN and infinities are allowed
    ///   - step: the step
    ///   - time: seconds since 1970
    /// - Throws: `FormatError`, also when the disk is full.
    public func write(scalars: [(tag: String, value: Double)], step: Int, time: Double) throws {
        guard !scalars.isEmpty else { return }
        var summary = ProtocolBuffer()
        for (tag, value) in scalars {
            summary.message(1) { item in
                item.text(1, tag)
                item.float(2, Float(value))
            }
        }
        try write(summary, step: step, time: time)
    }

    /// Appends a text (shown as Markdown) of one step.
    /// - Throws: `FormatError`, also when the disk is full.
    public func write(text: String, tag: String, step: Int, time: Double) throws {
        var summary = ProtocolBuffer()
        summary.message(1) { item in
            item.text(1, tag)
            item.message(8) { tensor in
                tensor.integer(1, 7)  // DT_STRING
                tensor.message(2) { shape in shape.message(2) { $0.integer(1, 1) } }
                tensor.text(8, text)
            }
            item.message(9) { metadata in
                metadata.message(1) { $0.text(1, "text") }
            }
        }
        try write(summary, step: step, time: time)
    }

    /// Makes everything durable and closes.
    public func finish() throws { try file.finish() }

    private func write(_ summary: ProtocolBuffer, step: Int, time: Double) throws {
        var event = ProtocolBuffer()
        event.double(1, time)
        event.integer(2, step)
        event.bytes(5, summary.bytes)
        try write(event)
    }

    /// One record goes out by one call: a run that is killed leaves at most its last record short.
    private func write(_ event: ProtocolBuffer) throws {
        let length = withUnsafeBytes(of: UInt64(event.bytes.count).littleEndian) { Array($0) }
        try file.write(length + Self.masked(length) + event.bytes + Self.masked(event.bytes))
    }

    /// The checksum, rotated and offset so that a checksum of data that hold checksums stays good.
    private static func masked(_ bytes: [UInt8]) -> [UInt8] {
        let crc = CRC32C.checksum(bytes)
        let mask = (crc >> 15 | crc << 17) &+ 0xa282_ead8
        return withUnsafeBytes(of: mask.littleEndian) { Array($0) }
    }
}
