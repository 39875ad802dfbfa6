/// How much memory the process holds.
import GDNTensor

/// Memory of this process in bytes.
package enum ProcessMemory {
    /// Resident now; 0 where the system does not say.
    package static var resident: Int {
        guard let file = fopen("/proc/self/statm", "r") else { return peak }
        defer { fclose(file) }
        var buffer = [CChar](repeating: 0, count: 128)
        guard fgets(&buffer, Int32(buffer.count), file) != nil else { return peak }
        let fields = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            .split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { return peak }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }

    /// Most ever resident.
    package static var peak: Int {
        var usage = rusage()
        #if canImport(Darwin)
            guard getrusage(RUSAGE_SELF, &usage) == 0 else { return 0 }
            return usage.ru_maxrss
        #else
            guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
            return usage.ru_maxrss * 1024
        #endif
    }
}
