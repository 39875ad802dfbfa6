/// Reference-counted bytes on one device; freed through the closure of whoever allocated them.
///
/// The bytes are mutable and unsynchronised: whoever launches work on them orders it.
public final class Storage: @unchecked Sendable {
    /// First byte: an address of main memory, or of device memory for `Device.cuda`.
    package let address: UnsafeMutableRawPointer
    /// Number of usable bytes.
    public let byteCount: Int
    /// Where the bytes live.
    public let device: Device
    private let deallocate: @Sendable (UnsafeMutableRawPointer, Int) -> Void

    /// Wraps bytes that `deallocate` takes back when the last reference goes.
    package init(
        address: UnsafeMutableRawPointer, byteCount: Int, device: Device,
        deallocate: @escaping @Sendable (UnsafeMutableRawPointer, Int) -> Void
    ) {
        self.address = address
        self.byteCount = byteCount
        self.device = device
        self.deallocate = deallocate
    }

    deinit {
        deallocate(address, byteCount)
    }
}
