// SPDX-License-Identifier: GPL-3.0-or-later
// What holds for every format: packed bytes are those counted and decode to what was shown; quantizing twice changes
// nothing; scaling weights by a power of two scales the result; rows stand alone; more bits are never worse.
#include "core/number_formats/packed_matrix.h"
#include "tests/support/every_scheme.h"

#include <QTest>

#include <bit>
#include <cstring>
#include <numeric>
#include <random>

using namespace quantloupe;

namespace {

struct Matrix {
    std::size_t rows = 0, columns = 0;
    std::vector<float> weights {};
};

// Bell-shaped with heavy tails, of a size that FP16 scales hold without denormals.
Matrix randomMatrix(std::mt19937& random)
{
    std::uniform_int_distribution<std::size_t> rows(1, 9), columns(1, 600);
    Matrix matrix {.rows = rows(random), .columns = columns(random)};
    std::student_t_distribution<float> weight(5.0F);
    for (std::size_t i = 0; i < matrix.rows * matrix.columns; ++i)
        matrix.weights.push_back(weight(random));
    return matrix;
}

std::vector<Matrix> someMatrices()
{
    std::mt19937 random(20);
    std::vector<Matrix> matrices;
    for (int i = 0; i < 6; ++i)
        matrices.push_back(randomMatrix(random));
    return matrices;
}

bool sameBits(std::span<const float> a, std::span<const float> b)
{
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](float x, float y) {
        return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
    });
}

double squaredError(std::span<const float> a, std::span<const float> b)
{
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += (double(a[i]) - double(b[i])) * (double(a[i]) - double(b[i]));
    return sum;
}

QByteArray describe(const Matrix& matrix)
{
    return QStringLiteral("%1 x %2").arg(matrix.rows).arg(matrix.columns).toUtf8();
}

}  // namespace

class TestFormatLaws : public QObject
{
    Q_OBJECT
private:
    /// Every scheme that a law is about.
    template<class Holds>
    static void addSchemes(const Holds& holds)
    {
        QTest::addColumn<std::string>("scheme");
        for (const auto& scheme : tests::everyScheme())
            if (holds(*Scheme::parse(scheme)))
                QTest::newRow(scheme.c_str()) << scheme;
    }
    static void everyRow()
    {
        addSchemes([](const Scheme&) { return true; });
    }

private Q_SLOTS:
    void packedBytes_data() { everyRow(); }
    void packedBytes()
    {
        QFETCH(const std::string, scheme);
        for (const Matrix& matrix : someMatrices()) {
            const tests::WholeMatrix whole(scheme, matrix.weights, matrix.rows);
            const auto bytes = packMatrix(whole.quantizer, matrix.weights, matrix.rows, whole.grids);
            QCOMPARE(std::uint64_t(bytes.size()), whole.quantizer.scheme().storedBytes({matrix.rows, matrix.columns}));
            const auto shown = whole.quantized(storedGrids(whole.quantizer.scheme(), whole.grids), matrix.weights);
            QVERIFY2(sameBits(unpackMatrix(whole.quantizer, bytes, matrix.rows), shown), describe(matrix));
            // FP16 scales move the error little: what an analysis shows holds for the file.
            const double signal = squaredError(matrix.weights, std::vector<float>(matrix.weights.size()));
            const double before = squaredError(matrix.weights, whole.quantized());
            const double after = squaredError(matrix.weights, shown);
            QVERIFY2(std::abs(after - before) <= 0.02 * before + 1e-6 * signal, describe(matrix));
        }
    }

    void quantizingTwiceChangesNothing_data()
    {
        // Searches for scales and codes find other scales for other weights; the codes of nf4 and fp4_bnb follow the
        // absmax before its rounding, the second time the rounded one.
        addSchemes([](const Scheme& scheme) {
            const bool codeBook = scheme.format == Format::Nf4 || scheme.format == Format::Fp4Bnb;
            return Quantizer::create(scheme, 256)->hasGrids() && !(codeBook && scheme.scales == ScaleStorage::Double8);
        });
    }
    void quantizingTwiceChangesNothing()
    {
        QFETCH(const std::string, scheme);
        for (const Matrix& matrix : someMatrices()) {
            const tests::WholeMatrix whole(scheme, matrix.weights, matrix.rows);
            const auto grids = storedGrids(whole.quantizer.scheme(), whole.grids);
            const auto once = whole.quantized(grids, matrix.weights);
            QVERIFY2(sameBits(whole.quantized(grids, once), once), describe(matrix));
        }
    }

    void scalesWithItsWeights_data() { everyRow(); }
    void scalesWithItsWeights()
    {
        QFETCH(const std::string, scheme);
        for (const Matrix& matrix : someMatrices())
            for (const float factor : {2.0F, 64.0F}) {  // upwards: FP16 scales of small blocks would become denormal

                auto scaled = matrix.weights;
                for (float& w : scaled)
                    w *= factor;
                auto expected = tests::WholeMatrix(scheme, matrix.weights, matrix.rows).quantized();
                for (float& w : expected)
                    w *= factor;
                const auto quantized = tests::WholeMatrix(scheme, scaled, matrix.rows).quantized();
                // fp16's own range ends, k-means compares sums of squares, and the small scales and minimums that ggml
                // stores as FP16 may be denormal on one side.
                if (scheme == "fp16" || !tests::WholeMatrix(scheme, scaled, matrix.rows).quantizer.hasGrids())
                    QVERIFY2(squaredError(quantized, expected) <= 1e-6 * squaredError(scaled, expected) + 1e-9,
                        describe(matrix));
                else
                    QVERIFY2(sameBits(quantized, expected), describe(matrix));
            }
    }

    void rowsStandAlone_data()
    {
        // Not where rows share a block, or scales of the whole tensor are rounded together.
        addSchemes([](const Scheme& scheme) {
            return scheme.scales != ScaleStorage::Double8 && scheme.granularity.kind != Granularity::Kind::Block;
        });
    }
    void rowsStandAlone()
    {
        QFETCH(const std::string, scheme);
        for (const Matrix& matrix : someMatrices()) {
            const tests::WholeMatrix whole(scheme, matrix.weights, matrix.rows);
            std::vector<std::size_t> order(matrix.rows);
            std::iota(order.begin(), order.end(), std::size_t {0});
            std::shuffle(order.begin(), order.end(), std::mt19937(3));
            const auto reordered = [&](std::span<const float> rows) {
                std::vector<float> out;
                for (const std::size_t row : order)
                    out.insert(out.end(), rows.begin() + std::ptrdiff_t(row * matrix.columns),
                        rows.begin() + std::ptrdiff_t((row + 1) * matrix.columns));
                return out;
            };
            const auto shuffled = reordered(matrix.weights);
            const auto quantized = tests::WholeMatrix(scheme, shuffled, matrix.rows).quantized();
            // A sum over the tensor in another order may end a bit away (ternary's mean, the mse search's errors).
            if (scheme == "ternary")
                QVERIFY(
                    squaredError(quantized, reordered(whole.quantized())) <= 1e-9 * squaredError(shuffled, quantized));
            else
                QVERIFY2(sameBits(quantized, reordered(whole.quantized())), describe(matrix));
        }
    }

    void moreBitsAreNeverWorse_data()
    {
        QTest::addColumn<std::string>("tail");
        for (const char* symmetry : {"sym", "symf", "asym", "asymf"})
            for (const char* granularity : {"g32", "channel", "tensor"}) {
                const std::string tail = std::string(":") + granularity + ":" + symmetry + ":mse";
                QTest::newRow(tail.c_str()) << tail;
            }
    }
    void moreBitsAreNeverWorse()
    {
        QFETCH(const std::string, tail);
        for (const Matrix& matrix : someMatrices()) {
            double before = std::numeric_limits<double>::infinity();
            for (int bits = 2; bits <= 8; ++bits) {
                const std::string scheme = "int" + std::to_string(bits) + tail;
                const double error =
                    squaredError(matrix.weights, tests::WholeMatrix(scheme, matrix.weights, matrix.rows).quantized());
                QVERIFY2(error <= before, scheme.c_str());
                before = error;
            }
        }
    }

    // Ranges of weighted values: what sticks out in columns that do not matter is left out.
    void importanceMovesRanges_data()
    {
        QTest::addColumn<std::string>("scheme");
        for (const char* scheme : {"int4:channel:p95", "int4:channel:asym:p95", "int4:channel:entropy"})
            QTest::newRow(scheme) << std::string(scheme);
    }
    void importanceMovesRanges()
    {
        QFETCH(const std::string, scheme);
        constexpr std::size_t columns = 2000;
        std::mt19937 random(9);
        std::normal_distribution<float> weight(0.0F, 1.0F);
        std::vector<float> weights(columns), importance(columns, 1.0F);
        for (std::size_t i = 0; i < columns; ++i) {
            weights[i] = weight(random);
            if (i % 10 == 0) {
                weights[i] *= 5.0F;
                importance[i] = 0.0F;
            }
        }
        const tests::WholeMatrix plain(scheme, weights, 1);
        tests::WholeMatrix important(scheme, weights, 1);
        important.quantizer.setImportance(importance);
        important.quantizer.fit(weights, 1, important.grids);
        QVERIFY(important.grids[0].scale < 0.9F * plain.grids[0].scale);
    }

    // Importance moves error from the columns that matter to those that do not.
    void importanceIsHeeded_data()
    {
        QTest::addColumn<std::string>("scheme");
        for (const char* scheme :
            {"int3:channel:mse", "int3:g64:asym:mse", "lut3", "q4_0", "q2_k", "q4_k", "q6_k", "iq4_nl"})
            QTest::newRow(scheme) << std::string(scheme);
    }
    void importanceIsHeeded()
    {
        QFETCH(const std::string, scheme);
        constexpr std::size_t rows = 16, columns = 512;
        std::mt19937 random(8);
        std::student_t_distribution<float> weight(4.0F);
        std::vector<float> weights(rows * columns), importance(columns, 0.01F);
        for (float& w : weights)
            w = weight(random);
        for (std::size_t i = 0; i < columns; i += 8)
            importance[i] = 10.0F;
        const auto weighted = [&](std::span<const float> quantized) {
            double sum = 0.0;
            for (std::size_t i = 0; i < quantized.size(); ++i)
                sum += double(importance[i % columns]) * std::pow(double(weights[i]) - double(quantized[i]), 2.0);
            return sum;
        };
        tests::WholeMatrix plain(scheme, weights, rows), important(scheme, weights, rows);
        important.quantizer.setImportance(importance);
        important.quantizer.fit(weights, rows, important.grids);
        QVERIFY(weighted(important.quantized()) < weighted(plain.quantized()));
        // All alike is as none.
        if (scheme.find("mse") != std::string::npos) {
            important.quantizer.setImportance(std::vector<float>(columns, 3.0F));
            important.quantizer.fit(weights, rows, important.grids);
            QVERIFY(sameBits(important.quantized(), plain.quantized()));
        }
    }
};

QTEST_APPLESS_MAIN(TestFormatLaws)
#include "tst_format_laws.moc"
