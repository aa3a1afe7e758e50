// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/integer_grid.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using namespace quantloupe::tests;
using kernels::IntegerCodes;

namespace {

struct Variant {
    IntegerCodes codes;
    float zero;
};

// Every width, sym, symf, asym, floating minimum, and ternary.
std::vector<Variant> variants()
{
    std::vector<Variant> result {{{0, 2, false}, 1}};
    for (const int bits : {2, 3, 4, 5, 6, 7, 8, 16}) {
        const float largest = float((1 << bits) - 1);
        const float middle = float(1 << (bits - 1));
        result.push_back({{1, largest, false}, middle});
        result.push_back({{0, largest, false}, middle});
        result.push_back({{0, largest, false}, 0});
        result.push_back({{0, largest, false}, largest});
        result.push_back({{0, largest, false}, std::floor(largest / 3)});
        result.push_back({{0, largest, true}, -0.043F});
        result.push_back({{0, largest, true}, 1e-30F});
    }
    return result;
}

}  // namespace

class TestIntegerGrid : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({1, 5, 8, 16, 31, 32, 33, 64, 100, 129}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        const Samples samples(count * 2, shift, Content::Awkward);
        const std::span<const float> weights = samples.values();
        std::mt19937 random(7);
        for (const Variant& variant : variants())
            for (const std::size_t length : {std::size_t(32), columns}) {
                for (const bool shared : {false, true}) {
                    const kernels::UnitShape shape {columns, length, shared};
                    std::vector<UnitGrid> grids(shared ? 1 : 2 * shape.unitsPerRow());
                    for (UnitGrid& grid : grids) {
                        const float scales[] = {0.0031F, 1.0F, 0.125F, 1e-45F, 1e-39F, 3e37F / 65535.0F, 7.7e-6F};
                        grid = {scales[random() % std::size(scales)], variant.zero};
                    }
                    std::vector<float> out(weights.size()), expected(weights.size()), decoded(weights.size());
                    std::vector<std::uint32_t> codes(weights.size()), expectedCodes(weights.size());
                    const auto clamped = kernels::integerFakeQuantize(weights, shape, grids, variant.codes, out);
                    const auto expectedClamped =
                        kernels::integerFakeQuantizeReference(weights, shape, grids, variant.codes, expected);
                    QCOMPARE(clamped, expectedClamped);
                    QCOMPARE(firstDifference(out, expected), -1);
                    kernels::integerEncode(weights, shape, grids, variant.codes, codes);
                    kernels::integerEncodeReference(weights, shape, grids, variant.codes, expectedCodes);
                    QVERIFY(codes == expectedCodes);
                    kernels::integerDecode(codes, shape, grids, variant.codes, decoded);
                    QCOMPARE(firstDifference(decoded, out), -1);  // the law
                    kernels::integerDecodeReference(codes, shape, grids, variant.codes, expected);
                    QCOMPARE(firstDifference(decoded, expected), -1);
                    for (std::size_t i = 0; i < codes.size(); ++i) {
                        QVERIFY(float(codes[i]) >= variant.codes.lowest && float(codes[i]) <= variant.codes.highest);
                        QVERIFY(!(out[i] == 0.0F && std::signbit(out[i])));
                    }
                    // In place is allowed.
                    std::vector<float> inPlace(weights.begin(), weights.end());
                    kernels::integerFakeQuantize(inPlace, shape, grids, variant.codes, inPlace);
                    QCOMPARE(firstDifference(inPlace, out), -1);
                }
            }
    }

    // Ties and the limits of the rounding trick, on every target.
    void ties_data() { addTargetRows({1, 9}); }
    void ties()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        const TargetScope scope(target);
        const std::pair<float, float> pairs[] = {{0.5F, 0.0F}, {1.5F, 2.0F}, {2.5F, 2.0F}, {-0.5F, 0.0F},
            {-1.5F, -2.0F}, {6.5F, 6.0F}, {7.5F, 7.0F}, {7.49F, 7.0F}, {-7.5F, -8.0F}, {-8.5F, -8.0F}, {-9.0F, -8.0F},
            {4194304.5F, 7.0F}, {12582912.0F, 7.0F}, {3e38F, 7.0F}, {-3e38F, -8.0F}, {0.49999997F, 0.0F},
            {HUGE_VALF, 7.0F}, {-HUGE_VALF, -8.0F}, {std::nanf(""), 0.0F}};
        for (const auto& [weight, value] : pairs) {
            const std::vector<float> weights(std::size_t(count), weight);
            std::vector<float> out(weights.size());
            const kernels::UnitShape shape {weights.size(), weights.size()};
            const UnitGrid grid {1.0F, 8.0F};
            const auto clamped = kernels::integerFakeQuantize(weights, shape, {&grid, 1}, {0, 15, false}, out);
            QCOMPARE(out, std::vector<float>(weights.size(), value));
            const bool counts = std::isfinite(weight) && (weight >= 7.5F || weight < -8.5F);
            QCOMPARE(clamped, std::uint64_t(counts ? count : 0));
        }
    }

    // x/s and x·(1/s) differ here: 0.7 lies a rounding away from a tie.
    void dividesTruly()
    {
        const std::vector<float> weights {0.105F, 0.35F, 0.245F, 1.0F, 0.15F, 0.45F, 0.75F, 1.05F};
        const UnitGrid grid {0.1F, 8.0F};
        std::vector<std::uint32_t> codes(weights.size());
        kernels::integerEncode(weights, {8, 8}, {&grid, 1}, {0, 15, false}, codes);
        for (std::size_t i = 0; i < weights.size(); ++i)
            QCOMPARE(codes[i], std::uint32_t(std::min(std::nearbyint(weights[i] / 0.1F), 7.0F) + 8.0F));
    }
};

QTEST_APPLESS_MAIN(TestIntegerGrid)
#include "tst_integer_grid.moc"
