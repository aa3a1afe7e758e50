// SPDX-License-Identifier: GPL-3.0-or-later
// Results of the original implementations on real and synthetic layers, reproduced within their tolerance classes.
#include "core/number_formats/quantizer.h"
#include "core/number_formats/tensor_range_search.h"
#include "tests/support/golden_layers.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;
using nlohmann::json;

namespace {

using Layer = tests::GoldenLayer;
using tests::sha256;

// Our notation for "rtn_asym_mse_32_b4" and the like; empty for other methods.
std::string schemeOf(const std::string& method)
{
    if (method == "nf4_64")
        return "nf4:g64:s32";
    if (method == "ternary_tensor")
        return "ternary:tensor:s32";
    if (method == "fp8_e4m3_tensor" || method == "fp8_e4m3_channel")
        return "fp8_e4m3:" + method.substr(9) + ":s32";
    if (method.rfind("rtn_", 0) != 0)
        return {};
    std::string symmetry = method.substr(4, 4);
    if (symmetry == "symn")
        symmetry = "sym";
    std::string rest = method.substr(9);
    std::string range = "minmax";
    for (const char* word : {"mse_", "p99.99_", "p99.9_"})
        if (rest.rfind(word, 0) == 0) {
            range = std::string(word, std::strlen(word) - 1);
            rest = rest.substr(std::strlen(word));
        }
    const std::size_t bits = rest.rfind("_b");
    std::string granularity = rest.substr(0, bits);
    if (granularity != "tensor" && granularity != "channel")
        granularity.insert(0, 1, 'g');
    return "int" + rest.substr(bits + 2) + ":" + granularity + ":" + symmetry + ":" + range + ":s32";
}

UnitGrid gridOfTensor(const Quantizer& quantizer, const Layer& layer)
{
    const auto [low, high] = std::minmax_element(layer.weights.begin(), layer.weights.end());
    TensorRangeSearch search(quantizer, *low, *high, layer.weights.size());
    while (search.needsPass()) {
        // Uneven tiles, merged in order, as the analysis does.
        auto total = search.emptyPartial();
        const std::span<const float> weights(layer.weights);
        for (std::size_t start = 0; start < weights.size(); start += 3001) {
            auto part = search.emptyPartial();
            search.add(part, weights.subspan(start, std::min<std::size_t>(3001, weights.size() - start)));
            total += part;
        }
        search.finishPass(total);
    }
    return search.grid();
}

}  // namespace

class TestGolden : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        QUANTLOUPE_NEED(tests::golden() / "index.json");
        for (const auto& entry : tests::goldenEntries())
            if (!schemeOf(entry.at("method")).empty())
                m_entries.push_back(entry);
        m_layers = tests::goldenLayers();
        QCOMPARE(m_layers.size(), std::size_t(6));
    }

    void everyEntryIsCovered();
    void reproduces_data();
    void reproduces();

private:
    // As many values as are stored; sha256 where all are and the class asks for equal bits.
    template<class T>
    std::vector<T> stored(const json& entry, const char* name) const
    {
        return tests::storedArray<T>(entry, name, m_layers.at(entry.at("case")));
    }
    void compareFloats(const json& entry, const char* name, const std::vector<float>& actual, bool exact) const;
    void compareCodes(const json& entry, const std::vector<std::uint8_t>& actual, const char* name, bool exact,
        const std::vector<float>& scales, std::size_t weightsPerUnit) const;

    std::vector<json> m_entries;
    std::map<std::string, Layer> m_layers;
};

void TestGolden::everyEntryIsCovered()
{
    // 73 on each of five real layers, 85 on the synthetic one, less double-quantized nf4.
    QCOMPARE(m_entries.size(), std::size_t(5 * 72 + 84));
}

void TestGolden::reproduces_data()
{
    QTest::addColumn<int>("index");
    for (std::size_t i = 0; i < m_entries.size(); ++i)
        QTest::addRow("%s %s", m_entries[i].at("case").get<std::string>().c_str(),
            m_entries[i].at("method").get<std::string>().c_str())
            << int(i);
}

void TestGolden::compareFloats(const json& entry, const char* name, const std::vector<float>& actual, bool exact) const
{
    const auto expected = stored<float>(entry, name);
    QVERIFY(expected.size() <= actual.size());
    if (exact) {
        QCOMPARE(sha256(actual.data(), actual.size() * 4), entry.at("arrays").at(name).at("sha256").get<std::string>());
        return;
    }
    std::size_t far = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
        far += std::abs(actual[i] - expected[i]) > 1e-6F * std::abs(expected[i]);
    // Class B: at least 99 % of the units choose the same candidate.
    QVERIFY2(far * 100 <= expected.size(), qPrintable(QString("%1 of %2").arg(far).arg(expected.size())));
}

void TestGolden::compareCodes(const json& entry, const std::vector<std::uint8_t>& actual, const char* name, bool exact,
    const std::vector<float>& scales, std::size_t weightsPerUnit) const
{
    const auto expected = stored<std::uint8_t>(entry, name);
    QVERIFY(expected.size() <= actual.size());
    if (exact) {
        QVERIFY(std::equal(expected.begin(), expected.end(), actual.begin()));
        QCOMPARE(sha256(actual.data(), actual.size()), entry.at("arrays").at(name).at("sha256").get<std::string>());
        return;
    }
    // Class B: at most 0.1 % of the codes of units with the same scale.
    const auto expectedScales = stored<float>(entry, "scale");
    std::size_t compared = 0, different = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
        if (scales[i / weightsPerUnit] == expectedScales[i / weightsPerUnit]) {
            ++compared;
            different += expected[i] != actual[i];
        }
    QVERIFY(compared * 10 >= expected.size() * 9);
    QVERIFY2(different * 1000 <= compared, qPrintable(QString("%1 of %2").arg(different).arg(compared)));
}

void TestGolden::reproduces()
{
    QFETCH(const int, index);
    const json& entry = m_entries[std::size_t(index)];
    const std::string method = entry.at("method");
    const Layer& layer = m_layers.at(entry.at("case"));
    const bool exact = entry.at("tol") == "A";
    const auto scheme = Scheme::parse(schemeOf(method));
    QVERIFY2(scheme, method.c_str());
    std::size_t rows = layer.rows;
    std::size_t columns = layer.columns;
    if (method == "nf4_64" && columns % 64 != 0) {
        // The original's blocks run over row ends: the same matrix as rows of one block each.
        QCOMPARE(layer.weights.size() % 64, std::size_t(0));
        rows = layer.weights.size() / 64;
        columns = 64;
    }
    const auto quantizer = Quantizer::create(*scheme, columns);
    QVERIFY2(quantizer, method.c_str());
    std::vector<UnitGrid> grids(quantizer->gridCount(rows));
    if (quantizer->wholeTensor())
        grids[0] = gridOfTensor(*quantizer, layer);
    else
        quantizer->fit(layer.weights, rows, grids);
    if (method == "ternary_tensor") {
        // The original averages in float, in an order of its own: our mean, in double, is the same to a float's last
        // bit.
        const auto mean = float(entry.at("scale").get<double>());
        QVERIFY(grids[0].scale >= std::nextafter(mean, 0.0F) && grids[0].scale <= std::nextafter(mean, 1.0F));
        grids[0].scale = mean;
    }
    std::vector<float> quantized(layer.weights.size());
    quantizer->fakeQuantize(layer.weights, rows, grids, quantized);
    std::vector<std::uint32_t> wideCodes(layer.weights.size());
    quantizer->encode(layer.weights, rows, grids, wideCodes);

    // What the files hold beside each other.
    const json& arrays = entry.at("arrays");
    std::vector<float> scales, zeros;
    for (const UnitGrid& grid : grids) {
        scales.push_back(grid.scale);
        zeros.push_back(grid.zero);
    }
    if (arrays.contains("scale"))
        compareFloats(entry, "scale", scales, exact);
    if (arrays.contains("zero"))
        compareFloats(entry, "zero", zeros, exact);
    if (arrays.contains("absmax"))
        compareFloats(entry, "absmax", scales, exact);
    if (arrays.contains("inv_scale"))
        compareFloats(entry, "inv_scale", scales, exact);

    if (arrays.contains("codes")) {
        // Symmetric codes are signed in the files.
        const int offset = arrays.at("codes").at("dtype") == "int8" ? int(zeros[0]) : 0;
        std::vector<std::uint8_t> codes;
        for (const std::uint32_t code : wideCodes)
            codes.push_back(std::uint8_t(int(code) - offset));
        compareCodes(entry, codes, "codes", exact, scales, quantizer->unitLength());
    }
    if (arrays.contains("packed")) {
        std::vector<std::uint8_t> packed;
        for (std::size_t i = 0; i < wideCodes.size(); i += 2)
            packed.push_back(std::uint8_t(wideCodes[i] << 4U | wideCodes[i + 1]));
        compareCodes(entry, packed, "packed", exact, scales, 64);
    }
    if (QTest::currentTestFailed())
        return;

    double signal = 0.0, noise = 0.0, worst = 0.0;
    for (std::size_t i = 0; i < quantized.size(); ++i) {
        const double w = double(layer.weights[i]);
        // The originals take the difference in float.
        const double error = double(layer.weights[i] - quantized[i]);
        signal += w * w;
        noise += error * error;
        worst = std::max(worst, std::abs(error));
        quantized[i] += 0.0F;
    }
    const json& metrics = entry.at("metrics");
    const double wmse = metrics.at("wmse");
    QVERIFY2(std::abs(noise / double(quantized.size()) - wmse) <= (exact ? 1e-5 : 1e-3) * wmse, method.c_str());
    const double sqnr = metrics.at("sqnr_db");
    QVERIFY2(std::abs(10.0 * std::log10(signal / noise) - sqnr) <= (exact ? 1e-3 : 5e-3), method.c_str());
    const double maxerr = metrics.at("maxerr");
    // Where a neighbouring candidate was chosen the maximum moves with it.
    QVERIFY2(std::abs(worst - maxerr) <= (exact ? 1e-5 : 2e-2) * maxerr, method.c_str());
    if (exact)
        QCOMPARE(sha256(quantized.data(), quantized.size() * 4), entry.at("sha256_wq_f32").get<std::string>());
}

QTEST_APPLESS_MAIN(TestGolden)
#include "tst_golden.moc"
