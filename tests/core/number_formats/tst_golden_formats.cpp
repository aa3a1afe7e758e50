// SPDX-License-Identifier: GPL-3.0-or-later
// Microscaling, nvfp4, fp4 of bitsandbytes, double quantization, look-up tables, entropy ranges: what the original
// implementations give, reproduced within their tolerance classes.
#include "core/number_formats/double_quantization.h"
#include "core/number_formats/entropy_range.h"
#include "core/number_formats/level_fitting.h"
#include "core/number_formats/quantizer.h"
#include "tests/support/golden_layers.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;
using nlohmann::json;

namespace {

// Ours for "mx_fp4_even" and the like; empty for what is not looked at here. Elements round half to even: the variant
// "nearest" rounds half away from zero, which no format of ours does.
std::string schemeOf(const std::string& method)
{
    if (method == "nvfp4_16")
        return "nvfp4";
    if (method == "fp4_64")
        return "fp4_bnb:g64:s32";
    if (method == "nf4_64_dq")
        return "nf4:g64:s8";
    if (method.rfind("mx_", 0) == 0 && method.ends_with("_even"))
        return "mx" + method.substr(3, method.size() - 8);
    return {};
}

std::vector<float> fakeQuantized(
    const Quantizer& quantizer, const std::vector<float>& weights, std::size_t rows, std::vector<std::uint32_t>& codes)
{
    std::vector<UnitGrid> grids(quantizer.gridCount(rows));
    quantizer.fit(weights, rows, grids);
    if (quantizer.scheme().scales == ScaleStorage::Double8)
        quantizeScales(quantizer.scheme(), grids);
    std::vector<float> quantized(weights.size());
    quantizer.fakeQuantize(weights, rows, grids, quantized);
    codes.resize(weights.size());
    quantizer.encode(weights, rows, grids, codes);
    return quantized;
}

}  // namespace

class TestGoldenFormats : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        QUANTLOUPE_NEED(tests::golden() / "index.json");
        m_entries = tests::goldenEntries();
        m_layers = tests::goldenLayers();
        QCOMPARE(m_layers.size(), std::size_t(6));
    }

    void reproduces_data()
    {
        QTest::addColumn<int>("index");
        int rows = 0;
        for (std::size_t i = 0; i < m_entries.size(); ++i)
            if (const std::string method = m_entries[i].at("method"); !schemeOf(method).empty()) {
                QTest::addRow("%s %s", m_entries[i].at("case").get<std::string>().c_str(), method.c_str()) << int(i);
                ++rows;
            }
        QVERIFY2(rows >= 40, qPrintable(QString::number(rows)));
    }

    void reproduces()
    {
        QFETCH(const int, index);
        const json& entry = m_entries[std::size_t(index)];
        const std::string method = entry.at("method");
        const auto& layer = m_layers.at(entry.at("case"));
        std::size_t rows = layer.rows, columns = layer.columns;
        if (method.find("_64") != std::string::npos && columns % 64 != 0) {
            // The original's blocks run over row ends: the same matrix as rows of one block each.
            rows = layer.weights.size() / 64;
            columns = 64;
        }
        auto quantizer = Quantizer::create(*Scheme::parse(schemeOf(method)), columns);
        QVERIFY2(quantizer, method.c_str());
        float absMax = 0.0F;
        for (const float w : layer.weights)
            absMax = std::max(absMax, std::abs(w));
        quantizer->setTensorAbsMax(absMax);
        std::vector<std::uint32_t> codes;
        auto quantized = fakeQuantized(*quantizer, layer.weights, rows, codes);

        const json& arrays = entry.at("arrays");
        if (arrays.contains("packed")) {
            // bitsandbytes puts the first of two codes into the high half, nvfp4 into the low one.
            // The original fills rows up to whole blocks of nvfp4.
            const std::size_t padded = method == "nvfp4_16" ? (columns + 15) / 16 * 16 : columns;
            std::vector<std::uint8_t> packed;
            for (std::size_t row = 0; row < rows; ++row)
                for (std::size_t i = 0; i < padded; i += 2) {
                    const auto codeAt = [&](std::size_t column) {
                        return column < columns ? codes[row * columns + column] : 0U;
                    };
                    packed.push_back(method == "nvfp4_16" ? std::uint8_t(codeAt(i + 1) << 4U | codeAt(i))
                                                          : std::uint8_t(codeAt(i) << 4U | codeAt(i + 1)));
                }
            const auto expected = tests::storedArray<std::uint8_t>(entry, "packed", layer);
            for (std::size_t i = 0; i < expected.size(); ++i)
                QVERIFY2(expected[i] == packed[i],
                    qPrintable(QString("byte %1: %2 for %3").arg(i).arg(packed[i], 0, 16).arg(expected[i], 0, 16)));
        }
        double noise = 0.0, worst = 0.0;
        for (std::size_t i = 0; i < quantized.size(); ++i) {
            const double error = double(layer.weights[i] - quantized[i]);
            noise += error * error;
            worst = std::max(worst, std::abs(error));
            quantized[i] += 0.0F;
        }
        const bool exact = entry.at("tol") == "A";
        const double wmse = entry.at("metrics").at("wmse");
        QVERIFY2(std::abs(noise / double(quantized.size()) - wmse) <= (exact ? 1e-5 : 1e-3) * wmse, method.c_str());
        const double maxerr = entry.at("metrics").at("maxerr");
        QVERIFY2(std::abs(worst - maxerr) <= (exact ? 1e-5 : 1e-3) * maxerr, method.c_str());
        if (exact)
            QCOMPARE(
                tests::sha256(quantized.data(), quantized.size() * 4), entry.at("sha256_wq_f32").get<std::string>());
    }

    // k-means on each row of the real layers, weighed by the Fisher diagonal: the optimum, which the golden objective
    // is.
    void reachesTheOptimum()
    {
        int compared = 0;
        for (const auto& entry : m_entries) {
            const std::string method = entry.at("method");
            if (method.rfind("sqllm_b", 0) != 0)
                continue;
            const auto& layer = m_layers.at(entry.at("case"));
            if (layer.fisher.empty())
                continue;
            const std::size_t count = std::size_t {1} << entry.at("bits").get<unsigned>();
            double objective = 0.0;
            for (std::size_t row = 0; row < layer.rows; ++row) {
                const auto values = std::span(layer.weights).subspan(row * layer.columns, layer.columns);
                const auto weights = std::span(layer.fisher).subspan(row * layer.columns, layer.columns);
                const auto levels = fitLevels(values, weights, count);
                for (std::size_t i = 0; i < values.size(); ++i) {
                    double nearest = std::numeric_limits<double>::infinity();
                    for (const double level : levels)
                        nearest = std::min(nearest, std::abs(double(values[i]) - level));
                    objective += double(weights[i]) * nearest * nearest;
                }
            }
            const double expected = entry.at("dp_objective");
            QVERIFY2(objective <= expected * (1.0 + 1e-5),
                qPrintable(QString("%1: %2 for %3").arg(method.c_str()).arg(objective).arg(expected)));
            ++compared;
        }
        QVERIFY(compared >= 10);
    }

    // Many values: Lloyd's iteration from the means of runs stays within a hundredth of the exact optimum.
    void manyValuesComeClose()
    {
        const auto& layer = m_layers.at("syn512");
        for (const std::size_t count : {4U, 8U, 16U}) {
            const auto errorOf = [&](std::span<const float> values, const std::vector<double>& levels) {
                double sum = 0.0;
                for (const float value : values) {
                    double nearest = std::numeric_limits<double>::infinity();
                    for (const double level : levels)
                        nearest = std::min(nearest, std::abs(double(value) - level));
                    sum += nearest * nearest;
                }
                return sum;
            };
            // 1,024 values are solved exactly; each twice makes the same problem, a hair apart so that it is too large.
            std::vector<float> few(layer.weights.begin(), layer.weights.begin() + 1024), many = few;
            for (const float value : few)
                many.push_back(std::nextafter(value, 10.0F));
            const double exact = 2.0 * errorOf(few, fitLevels(few, {}, count));
            const double found = errorOf(many, fitLevels(many, {}, count));
            QVERIFY2(found <= 1.01 * exact, qPrintable(QString("%1: %2 for %3").arg(count).arg(found).arg(exact)));
        }
    }

    void entropyThresholds_data()
    {
        QTest::addColumn<QString>("name");
        QTest::addColumn<QString>("file");
        for (const auto& [name, file] : {std::pair {"0.wq", "hist_0_wq"}, {"2.w1", "hist_2_w1"}, {"3.wo", "hist_3_wo"},
                 {"4.w2", "hist_4_w2"}, {"syn512_X", "hist_syn512_X"}})
            QTest::newRow(name) << name << file;
    }

    void entropyThresholds()
    {
        QFETCH(const QString, name);
        QFETCH(const QString, file);
        const auto misc = json::parse(tests::contentOf(tests::golden() / "misc" / "misc.json"));
        const auto& expected = misc.at("histogram_calibration").at(name.toStdString());
        const auto path = tests::golden() / "misc" / (file.toStdString() + ".npy");
        // 2,048 whole numbers of four bytes behind the header.
        const std::string bytes = tests::contentOf(path);
        QVERIFY(bytes.size() > 4 * entropyBins && bytes.find("'<i4'") != std::string::npos);
        std::vector<std::int32_t> whole(entropyBins);
        std::memcpy(whole.data(), bytes.data() + bytes.size() - 4 * entropyBins, 4 * entropyBins);
        const std::vector<double> counts(whole.begin(), whole.end());
        const float absMax = expected.at("absmax").get<float>();
        for (const unsigned bits : {4U, 8U}) {
            const double threshold = expected.at("entropy_int" + std::to_string(bits));
            QVERIFY(std::abs(double(entropyThreshold(counts, absMax, bits)) - threshold) <= 1e-6 * threshold);
        }
    }

private:
    json m_entries {};
    std::map<std::string, tests::GoldenLayer> m_layers {};
};

QTEST_APPLESS_MAIN(TestGoldenFormats)
#include "tst_golden_formats.moc"
