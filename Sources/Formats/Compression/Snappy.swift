import GDNFormatsKernels

/// Raw Snappy blocks, as Parquet has them.
package enum Snappy {
    /// Decompresses a block whose size is known.
    /// - Returns: nil, or which rule it breaks.
    package static func decode(
        _ block: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) -> String? {
        gdn_snappy_decode(block.baseAddress, block.count, output.baseAddress, output.count)
            .map { String(cString: $0) }
    }
}
