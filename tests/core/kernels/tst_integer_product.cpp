// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_product.h"
#include "tests/support/kernel_sweep.h"

#include <algorithm>
#include <numeric>

using namespace quantloupe;
using kernels::CodeWidth;
using kernels::PanelShape;

namespace {

/// What codes and activations are drawn from.
enum class Draw { Any, Corners };

/// A product's operands as plain matrices, from which the definition is computed, and as the kernels want them.
class Operands
{
public:
    Operands(std::size_t tokens, const PanelShape& panelShape, Draw draw, bool zeroPoints)
        : shape(panelShape)
        , count(tokens)
        , m_random(unsigned(7 + 31 * tokens + shape.outputs + 1000 * shape.inputs + shape.groupLength))
    {
        const int highest = shape.width == CodeWidth::Byte ? 255 : 15;
        const auto pick = [&](int low, int high) {
            return draw == Draw::Corners ? (m_random() % 2 ? low : high)
                                         : low + int(m_random() % unsigned(high - low + 1));
        };
        for (std::size_t i = 0; i < tokens * shape.inputs; ++i)
            activations.push_back(std::int8_t(pick(-128, 127)));
        for (std::size_t i = 0; i < shape.outputs * shape.inputs; ++i)
            codes.push_back(std::uint32_t(pick(0, highest)));
        for (std::size_t i = 0; i < tokens; ++i) {
            tokenZeros.push_back(zeroPoints ? pick(-128, 127) : 0);
            tokenScales.push_back(0.01F + 0.001F * float(i % 7));
        }
        zeros.resize(shape.parameters());
        sums.resize(shape.parameters());
        scales.resize(shape.parameters());
        for (std::size_t i = 0; i < shape.parameters(); ++i) {
            zeros[i] = zeroPoints ? pick(0, highest) : (highest + 1) / 2;
            scales[i] = 0.002F + 1e-5F * float(m_random() % 100);
        }
        pack();
    }

    kernels::IntegerTokens tokens() const { return {count, activations, tokenZeros, tokenScales}; }
    kernels::IntegerWeights weights() const { return {shape, panels, zeros, sums, scales}; }

    /// Σ over a group, in 64 bits, from the plain matrices.
    std::int64_t product(std::size_t token, std::size_t output, std::size_t group) const
    {
        std::int64_t sum = 0;
        for (std::size_t i = group * shape.groupLength; i < std::min((group + 1) * shape.groupLength, shape.inputs);
             ++i)
            sum += (std::int64_t(activations[token * shape.inputs + i]) - tokenZeros[token])
                * (std::int64_t(codes[output * shape.inputs + i]) - zeros[shape.parameterOf(output, group)]);
        return sum;
    }

    PanelShape shape;
    std::size_t count;
    std::vector<std::int8_t> activations {};
    std::vector<std::uint32_t> codes {};
    std::vector<std::uint8_t> panels {};
    std::vector<std::int32_t> tokenZeros {}, zeros {}, sums {};
    std::vector<float> tokenScales {}, scales {};

private:
    void pack()
    {
        panels.assign(shape.bytes(), 0xEE);
        for (std::size_t panel = 0; panel < shape.panels(); ++panel) {
            const auto first = panel * PanelShape::outputsPerPanel;
            const auto rows = std::min(PanelShape::outputsPerPanel, shape.outputs - first);
            kernels::packPanel(std::span(codes).subspan(first * shape.inputs, rows * shape.inputs), shape,
                std::span(panels).subspan(panel * shape.panelBytes(), shape.panelBytes()));
        }
        for (std::size_t output = 0; output < shape.outputs; ++output)
            for (std::size_t i = 0; i < shape.inputs; ++i) {
                const auto at = shape.parameterOf(output, i / shape.groupLength);
                sums[at] += int(codes[output * shape.inputs + i]) - zeros[at];
            }
    }

    std::mt19937 m_random;
};

/// Tokens packed for one kernel, with the memory they lie in.
struct Packed {
    std::vector<std::int32_t> activations, sums;
    kernels::PackedTokens tokens;

    Packed(const Operands& operands, const kernels::TileKernel& tiles)
        : activations(kernels::PackedTokens::packedSize(operands.count, operands.shape, tiles), 0x5A5A5A5A)
        , sums(operands.count * operands.shape.groups(), -1)
        , tokens(kernels::packTokens(operands.tokens(), operands.shape, tiles, activations, sums))
    {
    }
};

/// Both ways of multiplying bytes that a target has.
std::vector<kernels::TileKernel> kernelsOf(CodeWidth width)
{
    return {kernels::tilesOfTarget(width), kernels::tilesOfQuads(width), kernels::bestTiles(width)};
}

const PanelShape sweptShapes[] {{1, 1, 1, CodeWidth::Byte}, {16, 8, 8, CodeWidth::Byte}, {17, 31, 31, CodeWidth::Byte},
    {17, 1100, 1100, CodeWidth::Byte}, {18, 70, 32, CodeWidth::Byte}, {5, 45, 7, CodeWidth::Byte},
    {1, 1, 1, CodeWidth::Nibble}, {16, 8, 8, CodeWidth::Nibble}, {17, 31, 31, CodeWidth::Nibble},
    {17, 1100, 1100, CodeWidth::Nibble}, {18, 70, 32, CodeWidth::Nibble}, {5, 45, 7, CodeWidth::Nibble}};

}  // namespace

class TestIntegerProduct : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void panelsHoldTheCodes_data() { addShapes(); }
    void panelsHoldTheCodes()
    {
        const Operands operands(1, shapeOfRow(), Draw::Any, true);
        const auto& shape = operands.shape;
        std::uint64_t sum = 0;
        for (std::size_t output = 0; output < shape.outputs; ++output)
            for (std::size_t input = 0; input < shape.inputs; ++input) {
                const auto code = operands.codes[output * shape.inputs + input];
                QCOMPARE(kernels::codeAt(operands.panels, shape, output, input), code);
                sum += code;
            }
        // What fills up is 0.
        for (const auto byte : operands.panels)
            sum -= shape.width == CodeWidth::Byte ? byte : (byte & 15U) + (byte >> 4U);
        QCOMPARE(sum, std::uint64_t(0));
    }

    void referencesAreTheDefinition_data() { addShapes(); }
    void referencesAreTheDefinition()
    {
        const Operands operands(3, shapeOfRow(), Draw::Any, true);
        const auto& shape = operands.shape;
        const auto scaled = reference(operands);
        for (std::size_t token = 0; token < 3; ++token)
            for (std::size_t output = 0; output < shape.outputs; ++output) {
                double exact = 0.0, size = 0.0;
                for (std::size_t group = 0; group < shape.groups(); ++group) {
                    const auto value = double(operands.product(token, output, group))
                        * double(operands.scales[shape.parameterOf(output, group)])
                        * double(operands.tokenScales[token]);
                    exact += value;
                    size += std::abs(value);
                }
                const auto found = double(scaled[token * shape.outputs + output]);
                QVERIFY(std::abs(found - exact) <= size * double(shape.groups() + 3) * 0x1p-24);
            }
    }

    void sameAsTheDefinition_data()
    {
        QTest::addColumn<qint64>("target");
        QTest::addColumn<int>("draw");
        QTest::addColumn<bool>("zeroPoints");
        for (const auto target : hwy::SupportedAndGeneratedTargets())
            for (const auto draw : {Draw::Any, Draw::Corners})
                for (const bool zeroPoints : {false, true})
                    QTest::addRow("%s %s%s", hwy::TargetName(target), draw == Draw::Any ? "any" : "corners",
                        zeroPoints ? " zero points" : "")
                        << qint64(target) << int(draw) << zeroPoints;
    }
    void sameAsTheDefinition()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, draw);
        QFETCH(const bool, zeroPoints);
        const tests::TargetScope scope(target);
        for (const auto& shape : sweptShapes)
            for (const std::size_t tokens : {1U, 2U, 3U, 7U, 131U}) {
                if (tokens > 7 && shape.inputs > 50)
                    continue;
                const Operands operands(tokens, shape, Draw(draw), zeroPoints);
                const auto expected = reference(operands);
                for (const auto& tiles : kernelsOf(shape.width))
                    QVERIFY2(isRight(operands, expected, Packed(operands, tiles).tokens),
                        qPrintable(QString("%1: %2 tokens, %3×%4 in groups of %5")
                                       .arg(QLatin1StringView(tiles.name.data()))
                                       .arg(tokens)
                                       .arg(shape.outputs)
                                       .arg(shape.inputs)
                                       .arg(shape.groupLength)));
            }
    }

    void panelsOneByOne_data() { addTargets(); }
    void panelsOneByOne()
    {
        QFETCH(const qint64, target);
        const tests::TargetScope scope(target);
        const PanelShape shape {40, 50, 16, CodeWidth::Nibble};
        const Operands operands(6, shape, Draw::Any, true);
        const Packed packed(operands, kernels::bestTiles(shape.width));
        const auto all = scaled(operands, packed.tokens, {0, 3}, 40);
        for (std::size_t panel = 0; panel < 3; ++panel) {
            const std::size_t columns = panel == 2 ? 8 : 16;
            const auto part = scaled(operands, packed.tokens, {panel, 1}, columns);
            for (std::size_t token = 0; token < 6; ++token)
                for (std::size_t i = 0; i < columns; ++i)
                    QCOMPARE(part[token * columns + i], all[token * 40 + panel * 16 + i]);
        }
    }

    /// The largest sums there are: nothing overflows, wraps around in 16 bits or saturates on the way.
    void extremes_data() { addTargets(); }
    void extremes()
    {
        QFETCH(const qint64, target);
        const tests::TargetScope scope(target);
        for (const auto width : {CodeWidth::Byte, CodeWidth::Nibble})
            for (const int activation : {-128, 127})
                for (const std::size_t inputs : {std::size_t(512), kernels::mostProductInputs}) {
                    Operands operands(1, {1, inputs, inputs, width}, Draw::Any, false);
                    std::fill(operands.activations.begin(), operands.activations.end(), std::int8_t(activation));
                    std::fill(operands.panels.begin(), operands.panels.end(), std::uint8_t(255));
                    std::fill(operands.zeros.begin(), operands.zeros.end(), 0);
                    const auto expected = std::int64_t(inputs) * activation * (width == CodeWidth::Byte ? 255 : 15);
                    for (const auto& tiles : kernelsOf(width)) {
                        const Packed packed(operands, tiles);
                        std::int32_t found = 0;
                        kernels::integerProduct(packed.tokens, operands.weights(), {0, 1}, {&found, 1, 1, 1});
                        QCOMPARE(std::int64_t(found), expected);
                    }
                }
    }

private:
    static void addShapes()
    {
        QTest::addColumn<int>("shape");
        for (int i = 0; i < int(std::size(sweptShapes)); ++i)
            QTest::addRow("%d: %dx%d in %d", i, int(sweptShapes[i].outputs), int(sweptShapes[i].inputs),
                int(sweptShapes[i].groupLength))
                << i;
    }
    static PanelShape shapeOfRow()
    {
        QFETCH(const int, shape);
        return sweptShapes[shape];
    }
    static void addTargets()
    {
        QTest::addColumn<qint64>("target");
        for (const auto target : hwy::SupportedAndGeneratedTargets())
            QTest::addRow("%s", hwy::TargetName(target)) << qint64(target);
    }

    static std::vector<float> scaled(
        const Operands& operands, const kernels::PackedTokens& tokens, kernels::PanelRange range, std::size_t columns)
    {
        std::vector<float> found(operands.count * columns, 9.0F);
        kernels::scaledIntegerProduct(
            tokens, operands.weights(), range, {found.data(), operands.count, columns, columns});
        return found;
    }

    static std::vector<float> reference(const Operands& operands)
    {
        const auto& shape = operands.shape;
        std::vector<float> expected(operands.count * shape.outputs);
        kernels::scaledIntegerProductReference(operands.tokens(), operands.weights(), {0, shape.panels()},
            {expected.data(), operands.count, shape.outputs, shape.outputs});
        return expected;
    }

    static bool isRight(
        const Operands& operands, const std::vector<float>& expected, const kernels::PackedTokens& tokens)
    {
        const auto& shape = operands.shape;
        if (tests::firstDifference(scaled(operands, tokens, {0, shape.panels()}, shape.outputs), expected) != -1)
            return false;
        if (shape.groups() > 1)
            return true;
        std::vector<std::int32_t> whole(expected.size(), 5);
        kernels::integerProduct(tokens, operands.weights(), {0, shape.panels()},
            {whole.data(), operands.count, shape.outputs, shape.outputs});
        for (std::size_t i = 0; i < whole.size(); ++i)
            if (whole[i] != operands.product(i / shape.outputs, i % shape.outputs, 0))
                return false;
        return true;
    }
};

QTEST_APPLESS_MAIN(TestIntegerProduct)
#include "tst_integer_product.moc"
