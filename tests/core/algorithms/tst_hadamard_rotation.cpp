// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/hadamard_matrix.h"
#include "core/algorithms/hadamard_rotation.h"
#include "core/number_formats/quantizer.h"
#include "tests/core/algorithms/golden_set.h"

#include <QTest>

#include <algorithm>
#include <set>

using namespace quantloupe;
using kernels::HadamardShape;

namespace {

// Every `step`-th row is compared with all.
bool isHadamard(const std::vector<std::int8_t>& matrix, std::size_t order, std::size_t step = 1)
{
    if (matrix.size() != order * order
        || !std::all_of(matrix.begin(), matrix.end(), [](std::int8_t sign) { return sign == 1 || sign == -1; }))
        return false;
    for (std::size_t i = 0; i < order; i += step)
        for (std::size_t j = 0; j < order; ++j) {
            int product = 0;
            for (std::size_t k = 0; k < order; ++k)
                product += matrix[i * order + k] * matrix[j * order + k];
            if (product != (i == j ? int(order) : 0))
                return false;
        }
    return true;
}

}  // namespace

class TestHadamardRotation : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matricesAreHadamard()
    {
        std::set<std::size_t> built;
        for (std::size_t order = 0; order <= 192; ++order)
            if (const auto matrix = hadamardMatrix(order); !matrix.empty()) {
                QVERIFY2(isHadamard(matrix, order), std::to_string(order).c_str());
                built.insert(order);
            }
        for (const std::size_t order : {12, 20, 28, 36, 44, 52, 60, 68, 76, 84, 100, 108, 124, 132, 140, 148, 156, 172})
            QVERIFY2(built.count(order) == 1, std::to_string(order).c_str());
        for (const std::size_t order : {0, 1, 2, 4, 8, 16, 24, 40, 92, 116, 188})
            QVERIFY2(built.count(order) == 0, std::to_string(order).c_str());
        QVERIFY(isHadamard(hadamardMatrix(924), 924, 61));
        QVERIFY(hadamardMatrix(1028).empty());
    }

    void order172IsThatOfTheOriginal()
    {
        QUANTLOUPE_NEED(tests::golden() / "misc" / "had172_sign.npy");
        const std::string bytes = tests::contentOf(tests::golden() / "misc" / "had172_sign.npy");
        const auto matrix = hadamardMatrix(172);
        QVERIFY(bytes.size() > matrix.size());
        QCOMPARE(std::memcmp(bytes.data() + bytes.size() - matrix.size(), matrix.data(), matrix.size()), 0);
    }

    void shapes()
    {
        const std::pair<std::size_t, HadamardShape> rows[] = {{2, {1, 1, 2}}, {4096, {1, 1, 4096}}, {12, {1, 12, 1}},
            {172, {1, 172, 1}}, {11008, {1, 172, 64}}, {14336, {1, 28, 512}}, {18944, {1, 148, 128}},
            {4864, {1, 76, 64}}, {5632, {1, 44, 128}}, {29568, {1, 924, 32}}, {13824, {1, 108, 128}}, {40, {1, 20, 2}},
            {53248, {1, 52, 1024}}, {23 * 64, {23, 1, 64}}, {29 * 16, {29, 1, 16}}};
        for (const auto& [columns, shape] : rows) {
            const auto rotation = HadamardRotation::create(columns);
            QVERIFY2(rotation, std::to_string(columns).c_str());
            QVERIFY2(rotation->shape() == shape, rotation->description().c_str());
            QCOMPARE(rotation->columns(), columns);
        }
        QCOMPARE(HadamardRotation::create(11008)->description(), std::string("172 × 64"));
        QCOMPARE(HadamardRotation::create(1472)->description(), std::string("23 blocks of 64"));
        for (const std::size_t columns : {0, 1, 3, 100 + 1, 23 * 8, 1030}) {
            const auto rotation = HadamardRotation::create(columns);
            QVERIFY(!rotation);
            QCOMPARE(rotation.error().code, ErrorCode::Unsupported);
            QVERIFY(rotation.error().reason.find("rows of " + std::to_string(columns)) == 0);
        }
    }

    // Lengths stay, the way back is one, and an outlier spreads evenly.
    void turnsAndTurnsBack()
    {
        for (const std::size_t columns : {16U, 64U, 172U, 1376U, 1472U, 11008U}) {
            const auto rotation = HadamardRotation::create(columns);
            QVERIFY(rotation);
            auto rows = tests::syntheticWeights(3, columns, 5);
            std::vector<double> scratch;
            std::vector<float> rotated(rows.size()), back(rows.size());
            rotation->apply(rows, scratch, rotated);
            rotation->undo(rotated, scratch, back);
            double energy = 0.0, rotatedEnergy = 0.0;
            for (std::size_t i = 0; i < rows.size(); ++i) {
                energy += double(rows[i]) * double(rows[i]);
                rotatedEnergy += double(rotated[i]) * double(rotated[i]);
                QVERIFY(std::abs(rows[i] - back[i]) < 1e-7F);
            }
            QVERIFY(std::abs(energy - rotatedEnergy) < 1e-6 * energy);
            QVERIFY(tests::meanSquaredError(rows, rotated) > 0.1 * energy / double(rows.size()));

            std::vector<float> spike(columns);
            spike[5] = 1.0F;
            rotation->apply(spike, scratch, spike);
            const auto length = float(rotation->shape().blockLength());
            for (std::size_t i = 0; i < rotation->shape().blockLength(); ++i)
                QVERIFY(std::abs(std::abs(spike[i]) - 1.0F / std::sqrt(length)) < 1e-7F);
        }
    }

    void golden_data()
    {
        m_golden.emplace("had_rtn_");
        QVERIFY(m_golden->addRows(12));
    }
    void golden()
    {
        QFETCH(const int, index);
        if (index < 0)
            QSKIP("not present: set QUANTLOUPE_GOLDEN");
        const auto& entry = m_golden->entries[std::size_t(index)];
        const tests::GoldenLayer& layer = m_golden->layers.at(entry.at("case"));
        const std::string method = entry.at("method");
        const auto scheme = Scheme::parse("int" + method.substr(method.size() - 1) + ":channel:asym:s32");
        const auto quantizer = Quantizer::create(*scheme, layer.columns);
        const auto rotation = HadamardRotation::create(layer.columns);
        QVERIFY(quantizer && rotation);
        std::vector<double> scratch;
        std::vector<float> out(layer.weights.size());
        rotation->apply(layer.weights, scratch, out);
        std::vector<UnitGrid> grids(quantizer->gridCount(layer.rows));
        quantizer->fit(out, layer.rows, grids);
        quantizer->fakeQuantize(out, layer.rows, grids, out);
        rotation->undo(out, scratch, out);
        float largest = 0.0F;
        for (std::size_t i = 0; i < out.size(); ++i) {
            largest = std::max(largest, std::abs(layer.weights[i] - out[i]));
            out[i] += 0.0F;
        }
        const double error = tests::meanSquaredError(layer.weights, out);
        const double expected = entry.at("metrics").at("wmse");
        const double expectedLargest = entry.at("metrics").at("maxerr");
        qInfo("wmse off by %.2e, largest by %.2e, %s", error / expected - 1.0, double(largest) / expectedLargest - 1.0,
            tests::sha256(out.data(), out.size() * 4) == entry.at("sha256_wq_f32") ? "same bits" : "other bits");
        // Class B.
        QVERIFY(std::abs(error / expected - 1.0) < 1e-4);
        QVERIFY(std::abs(double(largest) / expectedLargest - 1.0) < 1e-4);
    }

private:
    std::optional<tests::GoldenSet> m_golden;
};

QTEST_APPLESS_MAIN(TestHadamardRotation)
#include "tst_hadamard_rotation.moc"
