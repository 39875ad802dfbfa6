import GDNTensor

extension CUDABackend {
    /// A tensor whose elements nobody has written yet.
    /// - Throws: `BackendError` when memory runs out, with what was asked and what lowers it.
    package func empty(_ shape: Shape, _ dtype: DType = .float32) throws -> Tensor {
        if isRehearsing { return try rehearsedTensor(shape, dtype) }
        let byteCount = max(256, shape.count * dtype.byteCount)
        var address: UInt64 = 0
        try activate()
        let result = driver.memoryAllocateAsync(&address, byteCount, stream)
        guard result == 0, let pointer = UnsafeMutableRawPointer(bitPattern: UInt(address)) else {
            throw driver.outOfMemory(
                byteCount, "a \(dtype.rawValue) tensor of shape \(shape)", device: deviceIndex, result)
        }
        let owner = self
        let storage = Storage(address: pointer, byteCount: byteCount, device: .cuda(deviceIndex)) { pointer, _ in
            _ = owner.driver.contextSetCurrent(owner.context)
            _ = owner.driver.memoryFreeAsync(UInt64(UInt(bitPattern: pointer)), owner.stream)
        }
        return Tensor(shape: shape, dtype: dtype, storage: storage)
    }

    /// A tensor of zeros.
    package func zeros(_ shape: Shape, _ dtype: DType = .float32) throws -> Tensor {
        let tensor = try empty(shape, dtype)
        try clear(tensor)
        return tensor
    }

    /// Sets all elements to zero.
    package func clear(_ tensor: Tensor) throws {
        if isRehearsing { return }
        try activate()
        try timed("clear", bytes: tensor.byteCount) {
            try driver.check(
                driver.memset8Async(tensor.deviceAddress, 0, tensor.byteCount, stream), "clearing \(tensor.shape)")
        }
    }

    /// Copies bytes between tensors of equal size on this device.
    package func copy(_ from: Tensor, into to: Tensor) throws {
        guard from.byteCount == to.byteCount else {
            throw ShapeError("copy", "source is \(from.shape) \(from.dtype), target is \(to.shape) \(to.dtype)")
        }
        if isRehearsing { return }
        try activate()
        try timed("copy", bytes: 2 * from.byteCount) {
            try driver.check(
                driver.copyOnDeviceAsync(to.deviceAddress, from.deviceAddress, from.byteCount, stream),
                "copying \(from.shape)")
        }
    }

    /// A copy on this device of a tensor in main memory. The source may be changed as soon as this returns.
    package func upload(_ tensor: Tensor) throws -> Tensor {
        let result = try empty(tensor.shape, tensor.dtype)
        try upload(tensor, into: result)
        return result
    }

    /// A table for a kernel, as int32 pairs: 64-bit numbers and addresses.
    package func uploadTable(_ numbers: [Int64]) throws -> Tensor {
        let halves = numbers.flatMap { [Int32(truncatingIfNeeded: $0), Int32(truncatingIfNeeded: $0 >> 32)] }
        return try upload(Tensor(host: halves, [numbers.count, 2]))
    }

    /// Copies a tensor in main memory into one of equal size on this device.
    package func upload(_ tensor: Tensor, into result: Tensor) throws {
        try upload(UnsafeRawPointer(tensor.address), into: result)
    }

    /// Copies the bytes at an address of main memory into a tensor. Several threads may do so at a time.
    package func upload(_ bytes: UnsafeRawPointer?, into result: Tensor) throws {
        guard let bytes, !isRehearsing else { return }
        try activate()
        try driver.check(
            driver.copyToDeviceAsync(result.deviceAddress, bytes, result.byteCount, stream),
            "uploading \(result.shape)")
        try driver.check(driver.streamSynchronize(stream), "uploading \(result.shape)")
    }

    /// Copies the elements of a device tensor to main memory; waits for the work that computes them.
    package func download(_ tensor: Tensor, into address: UnsafeMutableRawPointer) throws {
        if isRehearsing {
            memset(address, 0, tensor.byteCount)
            return
        }
        try activate()
        try driver.check(
            driver.copyToHostAsync(address, tensor.deviceAddress, tensor.byteCount, stream),
            "downloading \(tensor.shape)")
        try driver.check(driver.streamSynchronize(stream), "work on cuda:\(deviceIndex)")
    }

    /// A copy in main memory of a device tensor.
    package func download(_ tensor: Tensor) throws -> Tensor {
        let byteCount = max(64, tensor.byteCount)
        let address = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
        let storage = Storage(address: address, byteCount: byteCount, device: .cpu) { address, _ in
            address.deallocate()
        }
        try download(tensor, into: address)
        return Tensor(shape: tensor.shape, dtype: tensor.dtype, storage: storage)
    }
}

extension Driver {
    /// Says how much was asked, what for, how much there is, and what lowers it.
    func outOfMemory(_ byteCount: Int, _ purpose: String, device: Int, _ result: Result) -> BackendError {
        var (free, total) = (0, 0)
        let known = memoryGetInfo(&free, &total) == 0 ? " (\(Self.size(free)) of \(Self.size(total)) free)" : ""
        return BackendError(
            "cuda:\(device): no memory for \(Self.size(byteCount)), \(purpose)\(known): \(explanation(result)); lower the batch "
                + "(data.batch) or the length (data.length), or compute blocks twice (training.recompute)")
    }

    private static func size(_ byteCount: Int) -> String {
        byteCount < 1 << 20 ? "\((byteCount + 1023) >> 10) KiB" : "\(byteCount >> 20) MiB"
    }
}

extension Tensor {
    /// A tensor in main memory with these elements, on its way to a device: float32 from `Float`, int32 from `Int32`,
    /// bfloat16 from its bits.
    package init<Element: DeviceElement>(host values: [Element], _ shape: Shape) {
        let byteCount = max(64, shape.count * Element.dtype.byteCount)
        let address = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
        values.withUnsafeBytes { bytes in
            if let source = bytes.baseAddress { address.copyMemory(from: source, byteCount: bytes.count) }
        }
        let storage = Storage(address: address, byteCount: byteCount, device: .cpu) { address, _ in
            address.deallocate()
        }
        self.init(shape: shape, dtype: Element.dtype, storage: storage)
    }

    /// Address of the first element as the driver takes it.
    package var deviceAddress: UInt64 { UInt64(UInt(bitPattern: address)) }
}

/// A Swift type whose bytes are a tensor's.
package protocol DeviceElement {
    /// The tensor's element type.
    static var dtype: DType { get }
}
extension Float: DeviceElement { package static var dtype: DType { .float32 } }
extension Int32: DeviceElement { package static var dtype: DType { .int32 } }
extension UInt16: DeviceElement { package static var dtype: DType { .bfloat16 } }
