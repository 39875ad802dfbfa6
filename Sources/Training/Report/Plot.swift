/// Line plots as SVG text.
import GDNTensor

/// A line plot over training steps.
struct Plot {
    /// A line or a set of points.
    struct Series {
        var name: String
        var points: [(x: Double, y: Double)]
        /// Class of the style sheet: `raw`, `main`, `dots`.
        var style: String
    }

    var title: String
    var xLabel = "step"
    var series: [Series]
    /// Whether the axis starts at zero.
    var fromZero = false

    private static let (width, height) = (720.0, 300.0)
    private static let (left, right, top, bottom) = (64.0, 16.0, 12.0, 40.0)

    /// The plot as an `<svg>` element, or a remark when there is nothing to plot.
    var svg: String {
        let all = series.flatMap(\.points)
        guard let first = all.first else { return "<p class=\"none\">nothing recorded</p>" }
        var x = (low: first.x, high: first.x)
        var y = (low: fromZero ? min(0, first.y) : first.y, high: first.y)
        for point in all {
            x = (min(x.low, point.x), max(x.high, point.x))
            y = (min(y.low, point.y), max(y.high, point.y))
        }
        if x.high == x.low { x.high += 1 }
        if y.high == y.low { y.high += max(abs(y.high) * 0.1, 1e-9) }
        let xTicks = Self.ticks(x.low, x.high, about: 6)
        let yTicks = Self.ticks(y.low, y.high, about: 5)
        let px = { (value: Double) in
            Self.left + (value - x.low) / (x.high - x.low) * (Self.width - Self.left - Self.right)
        }
        let py = { (value: Double) in
            Self.height - Self.bottom - (value - y.low) / (y.high - y.low) * (Self.height - Self.top - Self.bottom)
        }
        var parts = [
            "<svg viewBox=\"0 0 \(Int(Self.width)) \(Int(Self.height))\" role=\"img\" aria-label=\"\(escaped(title))\">"
        ]
        for tick in yTicks {
            let at = coordinate(py(tick))
            parts.append(
                "<line class=\"grid\" x1=\"\(coordinate(Self.left))\" x2=\"\(coordinate(Self.width - Self.right))\" y1=\"\(at)\" y2=\"\(at)\"/>"
                    + "<text x=\"\(coordinate(Self.left - 6))\" y=\"\(coordinate(py(tick) + 4))\" text-anchor=\"end\">\(Self.label(tick))</text>"
            )
        }
        for tick in xTicks {
            parts.append(
                "<text x=\"\(coordinate(px(tick)))\" y=\"\(coordinate(Self.height - Self.bottom + 18))\" text-anchor=\"middle\">\(Self.label(tick))</text>"
            )
        }
        parts.append(
            "<text x=\"\(coordinate((Self.left + Self.width - Self.right) / 2))\" y=\"\(coordinate(Self.height - 4))\" text-anchor=\"middle\">\(escaped(xLabel))</text>"
        )
        for line in series where !line.points.isEmpty {
            parts.append(Self.draw(line, px, py))
        }
        return (parts + ["</svg>"]).joined(separator: "\n")
    }

    private static func draw(_ line: Series, _ px: (Double) -> Double, _ py: (Double) -> Double) -> String {
        let name = "<title>\(escaped(line.name))</title>"
        if line.style == "dots" {
            let dots = line.points.map {
                "<circle cx=\"\(coordinate(px($0.x)))\" cy=\"\(coordinate(py($0.y)))\" r=\"3\"><title>\(escaped(line.name)): step \(label($0.x)), \(label($0.y))</title></circle>"
            }
            return "<g class=\"dots\">\(dots.joined())</g>"
        }
        let points = thinned(line.points, px).map { "\(coordinate(px($0.x))),\(coordinate(py($0.y)))" }
        return "<polyline class=\"\(line.style)\" points=\"\(points.joined(separator: " "))\">\(name)</polyline>"
    }

    /// At most four points a pixel column (first, lowest, highest, last), so that long runs keep their spikes.
    static func thinned(_ points: [(x: Double, y: Double)], _ px: (Double) -> Double) -> [(x: Double, y: Double)] {
        guard points.count > 2000 else { return points }
        var result: [(x: Double, y: Double)] = []
        var start = 0
        while start < points.count {
            let column = px(points[start].x).rounded(.down)
            var end = start
            while end < points.count, px(points[end].x).rounded(.down) == column { end += 1 }
            let range = start..<end
            let low = range.min { points[$0].y < points[$1].y } ?? start
            let high = range.max { points[$0].y < points[$1].y } ?? start
            result += Set([start, low, high, end - 1]).sorted().map { points[$0] }
            start = end
        }
        return result
    }

    /// Round numbers between two limits.
    static func ticks(_ low: Double, _ high: Double, about count: Int) -> [Double] {
        let rough = (high - low) / Double(count)
        let magnitude = pow(10, log10(rough).rounded(.down))
        let step = [1, 2, 5, 10].map { $0 * magnitude }.first { $0 >= rough } ?? rough
        let (first, last) = ((low / step).rounded(.up), (high / step).rounded(.down))
        guard step > 0, first <= last, last - first < 100 else { return [low, high] }
        return stride(from: first, through: last, by: 1).map { $0 * step }
    }

    /// A tick's number in few characters.
    static func label(_ value: Double) -> String {
        let size = abs(value)
        if size >= 10_000 { return Readable.count(value) }
        if size == 0 { return "0" }
        if size < 0.001 { return Readable.scientific(value) }
        var text = Readable.fixed(value, size >= 100 ? 0 : size >= 1 ? 2 : 4)
        if text.contains(".") {
            while text.hasSuffix("0") { text.removeLast() }
            if text.hasSuffix(".") { text.removeLast() }
        }
        return text
    }
}

/// A coordinate with one decimal.
private func coordinate(_ value: Double) -> String { Readable.fixed(value, 1) }

/// Text that is safe inside HTML and its attributes.
func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
        .replacing("\"", with: "&quot;")
}
