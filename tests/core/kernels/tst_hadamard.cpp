// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/hadamard.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using namespace quantloupe::tests;
using kernels::HadamardShape;

namespace {

std::vector<HadamardShape> shapes()
{
    std::vector<HadamardShape> all;
    for (std::size_t inner = 1; inner <= 2048; inner *= 2)
        all.push_back({1, 1, inner});
    for (std::size_t inner = 1; inner <= 64; inner *= 2)
        for (const std::size_t outer : {4U, 12U, 28U})
            all.push_back({1, outer, inner});
    all.insert(all.end(), {{3, 1, 16}, {5, 1, 2}, {2, 12, 4}, {1, 172, 1}, {1, 172, 8}});
    return all;
}

// Any signs will do where only bits are compared.
std::vector<double> someSigns(std::size_t order)
{
    std::mt19937 random(5);
    std::vector<double> signs(order * order);
    for (double& sign : signs)
        sign = random() % 2 == 0 ? 1.0 : -1.0;
    return signs;
}

}  // namespace

class TestHadamard : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({1}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        for (const HadamardShape& shape : shapes())
            for (const Content content : {Content::Weights, Content::Awkward}) {
                const auto signs = someSigns(shape.outer);
                const Samples samples(int(shape.columns()), shift, content);
                std::vector<double> scratch(kernels::hadamardScratch(shape));
                std::vector<float> out(shape.columns()), expected(shape.columns());
                kernels::hadamardRotate(samples.values(), shape, signs, scratch, out);
                kernels::hadamardRotateReference(samples.values(), shape, signs, scratch, expected);
                QCOMPARE(firstDifference(out, expected), -1);
                // In place is allowed.
                std::vector<float> inPlace(samples.values().begin(), samples.values().end());
                kernels::hadamardRotate(inPlace, shape, signs, scratch, inPlace);
                QCOMPARE(firstDifference(inPlace, expected), -1);
            }
    }

    // Against the definition: R[k·L + j][k′·L + j′] = H[k][k′]·(−1)^popcount(j & j′)/√n.
    void isTheMatrixProduct()
    {
        for (const HadamardShape& shape : {HadamardShape {1, 1, 8}, HadamardShape {1, 1, 64}, HadamardShape {1, 12, 4},
                 HadamardShape {1, 4, 1}, HadamardShape {2, 4, 16}}) {
            const auto signs = someSigns(shape.outer);
            const Samples samples(int(shape.columns()), 0, Content::Weights);
            std::vector<double> scratch(kernels::hadamardScratch(shape));
            std::vector<float> out(shape.columns());
            kernels::hadamardRotate(samples.values(), shape, signs, scratch, out);
            const std::size_t length = shape.blockLength();
            for (std::size_t i = 0; i < out.size(); ++i) {
                double sum = 0.0;
                for (std::size_t j = 0; j < length; ++j) {
                    const std::size_t at = i % length;
                    const int common = std::popcount((j % shape.inner) & (at % shape.inner));
                    const double sign =
                        (shape.outer > 1 ? signs[j / shape.inner * shape.outer + at / shape.inner] : 1.0)
                        * (common % 2 == 0 ? 1.0 : -1.0);
                    sum += sign * double(samples.values()[i - at + j]);
                }
                const double expected = sum / std::sqrt(double(length));
                QVERIFY(std::abs(double(out[i]) - expected) <= 1e-7 * std::abs(expected) + 1e-12);
            }
        }
    }

    void keepsToFloats()
    {
        const float largest = std::numeric_limits<float>::max();
        std::vector<float> row(16, largest);
        std::vector<double> scratch(32);
        kernels::hadamardRotate(row, {1, 1, 16}, {}, scratch, row);
        QCOMPARE(row[0], largest);  // 4 times that, held
        QCOMPARE(row[1], 0.0F);
        row.assign(16, 0.5F);
        row[3] = std::nanf("");
        row[7] = HUGE_VALF;
        kernels::hadamardRotate(row, {1, 1, 16}, {}, scratch, row);
        QCOMPARE(row[0], 1.75F);  // 14 · 0.5 / 4
    }
};

QTEST_APPLESS_MAIN(TestHadamard)
#include "tst_hadamard.moc"
