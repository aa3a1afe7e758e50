// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/analyze.h"
#include "core/analysis/cures.h"
#include "tests/core/analysis/naive_reference.h"
#include "tests/core/analysis/synthetic_tensor.h"

#include <QTest>

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <cmath>
#include <set>
#include <thread>

using namespace quantloupe;
using quantloupe::tests::close;
using quantloupe::tests::SyntheticTensor;

namespace {

Scheme parsed(const std::string& text)
{
    return Scheme::parse(text).value();
}

Result<std::vector<Cure>> curesOn(int threads, const ModelTensor& tensor, const std::string& scheme)
{
    Progress progress;
    tbb::task_arena arena(threads);
    return arena.execute([&] {
        const auto weights = measureWeights(tensor, {}, progress).value();
        return tryCures(tensor, weights, parsed(scheme), nullptr, {}, progress);
    });
}

const Cure* find(const std::vector<Cure>& cures, CureKind kind)
{
    for (const auto& cure : cures)
        if (cure.kind == kind)
            return &cure;
    return nullptr;
}

const Cure* find(const std::vector<Cure>& cures, const std::string& scheme)
{
    for (const auto& cure : cures)
        if (!cure.isMixture() && cure.scheme == parsed(scheme))
            return &cure;
    return nullptr;
}

long double decibels(long double signal, long double error)
{
    return 10.0L * std::log10(signal / error);
}

std::vector<float> normalWeights(std::size_t count, float mean, float deviation, unsigned seed)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(mean, deviation);
    std::vector<float> values(count);
    std::generate(values.begin(), values.end(), [&] { return normal(random); });
    return values;
}

QString listed(const std::vector<Cure>& cures)
{
    QString text;
    for (const auto& cure : cures)
        text += QString::fromStdString(cure.sentence()) + "\n";
    return text;
}

}  // namespace

class TestCures : public QObject
{
    Q_OBJECT
    tbb::global_control m_manyThreads {tbb::global_control::max_allowed_parallelism, 8};

private Q_SLOTS:
    void figuresAreThoseOfASlowCount_data()
    {
        QTest::addColumn<QString>("scheme");
        QTest::addColumn<QStringList>("expected");
        QTest::addRow("int4") << "int4:g128"
                              << QStringList {"int4:g64", "int4:g32", "int4:mse", "int4:symf", "int4:asym",
                                     "int4:asymf", "int5:g128", "nf4:g128", "fp4_e2m1:g128", "int4+hadamard",
                                     "int4:asymf+hqq", "int4+biascorr"};
        QTest::addRow("int8 per channel") << "int8:asym"
                                          << QStringList {"int8:g128:asym", "int8:g64:asym", "int8:asym:mse",
                                                 "int8:symf", "int8:asymf", "int16:asym", "fp8_e4m3"};
        QTest::addRow("whole tensor") << "int6:tensor" << QStringList {"int6:channel", "int6:g128", "int6:tensor:mse"};
        QTest::addRow("blocks") << "int4:b16x64" << QStringList {"int4:b8x32"};
        QTest::addRow("small floats") << "fp6_e2m3" << QStringList {"fp8_e4m3", "fp6_e3m2", "fp6_e2m3:mse", "int6"};
        QTest::addRow("ggml") << "q4_0" << QStringList {"q4_1", "q5_0", "q4_k", "iq4_nl"};
    }
    void figuresAreThoseOfASlowCount()
    {
        QFETCH(const QString, scheme);
        QFETCH(const QStringList, expected);
        constexpr std::size_t rows = 96, columns = 256;
        const SyntheticTensor synthetic(rows, columns, tests::llmWeights(rows, columns, 41, 0.0005));
        const auto from = scheme.toStdString();
        const auto cures = curesOn(2, synthetic.tensor(), from);
        QVERIFY2(cures.has_value(), cures ? "" : describe(cures.error()).c_str());
        for (const auto& text : expected)
            QVERIFY2(find(*cures, text.toStdString()), qPrintable(text + " is not among:\n" + listed(*cures)));

        Progress progress;
        const auto weights = measureWeights(synthetic.tensor(), {}, progress).value();
        const auto before = tests::naiveErrors(parsed(from), synthetic.values(), rows, columns);
        std::set<std::string> seen;
        for (const auto& cure : *cures) {
            QVERIFY(std::abs(cure.sqnrBefore - decibels(before.signal, before.error)) < 1e-4L);
            QCOMPARE(cure.bytesBefore, parsed(from).storedBytes({rows, columns}));
            QCOMPARE(cure.measuredRows, rows);
            QCOMPARE(cure.rows, rows);
            QCOMPARE(cure.weights, rows * columns);
            if (cure.isMixture())
                continue;
            const auto name = cure.scheme.toString();
            QVERIFY2(seen.insert(name).second && name != from && requireBuilt(cure.scheme), name.c_str());
            QCOMPARE(cure.bytesAfter, cure.scheme.storedBytes({rows, columns}));
            const auto measured = measureSchemes(synthetic.tensor(), weights, {&cure.scheme, 1}, {}, progress);
            QCOMPARE(cure.sqnrAfter, measured->front().error.sqnrDb());
            if (!cure.scheme.algorithms.empty())
                continue;
            const auto after = tests::naiveErrors(cure.scheme, synthetic.values(), rows, columns);
            QVERIFY2(std::abs(cure.sqnrAfter - decibels(after.signal, after.error)) < 1e-4L, name.c_str());
        }
    }

    void bytesAndBitsByHand()
    {
        const SyntheticTensor synthetic(96, 256, tests::llmWeights(96, 256, 41));
        const auto cures = curesOn(2, synthetic.tensor(), "int4:g128");
        QVERIFY(cures.has_value());
        const auto* half = find(*cures, "int4:g64");
        QCOMPARE(half->bytesBefore, 96U * (128U + 2U * 2U));
        QCOMPARE(half->bytesAfter, 96U * (128U + 4U * 2U));
        QCOMPARE(half->addedBits(), 0.125);  // two scales of 16 bits per 256 weights
        QCOMPARE(half->gainPerAddedBit(), half->gain() / 0.125);
        QCOMPARE(find(*cures, "int5:g128")->addedBits(), 1.0);
        QCOMPARE(find(*cures, "int4:mse")->addedBits(), 0.0);
        QVERIFY(std::isinf(find(*cures, "int4:mse")->gainPerAddedBit()));
    }

    void mixturesAreThoseOfASlowCount()
    {
        constexpr std::size_t rows = 300, columns = 200;  // three rows and two columns are kept
        auto values = tests::llmWeights(rows, columns, 43);
        for (std::size_t i = 0; i < columns; ++i)
            values[17 * columns + i] *= 20.0F;
        for (std::size_t row = 0; row < rows; ++row)
            values[row * columns + 150] *= 30.0F;
        const SyntheticTensor synthetic(rows, columns, values);
        const auto cures = curesOn(2, synthetic.tensor(), "int4:channel");
        QVERIFY(cures.has_value());
        const auto before = tests::naiveErrors(parsed("int4:channel"), values, rows, columns);

        const auto* ofRows = find(*cures, CureKind::WiderRows);
        QVERIFY(ofRows != nullptr);
        std::vector<std::uint64_t> loudest(rows);
        for (std::size_t i = 0; i < rows; ++i)
            loudest[i] = i;
        std::sort(loudest.begin(), loudest.end(), [&](auto a, auto b) { return before.rows[a] > before.rows[b]; });
        loudest.resize(3);
        std::sort(loudest.begin(), loudest.end());
        QVERIFY(ofRows->kept == loudest);
        const auto wider = tests::naiveErrors(parsed("int8"), values, rows, columns);
        auto error = before.error;
        for (const auto row : loudest)
            error += wider.rows[row] - before.rows[row];
        QVERIFY(std::abs(ofRows->sqnrAfter - decibels(before.signal, error)) < 1e-4L);
        QCOMPARE(ofRows->bytesAfter, 297U * (100U + 2U) + 3U * (200U + 2U + 4U));

        const auto* ofColumns = find(*cures, CureKind::WiderColumns);
        QVERIFY(ofColumns != nullptr);
        QCOMPARE(ofColumns->kept.size(), 2U);
        QVERIFY(std::count(ofColumns->kept.begin(), ofColumns->kept.end(), 150U) == 1);
        auto rest = values;
        for (std::size_t i = 0; i < rest.size(); ++i)
            if (std::count(ofColumns->kept.begin(), ofColumns->kept.end(), i % columns) != 0)
                rest[i] = 0.0F;
        const auto quiet = tests::naiveErrors(parsed("int4:channel"), rest, rows, columns);
        const auto floats = tests::naiveErrors(parsed("fp16"), values, rows, columns);
        error = quiet.error;
        for (const auto column : ofColumns->kept)
            error += floats.columns[column] - quiet.columns[column];
        QVERIFY(std::abs(ofColumns->sqnrAfter - decibels(before.signal, error)) < 1e-4L);
        QCOMPARE(ofColumns->bytesAfter, 300U * (100U + 2U) + 2U * (300U * 2U + 4U));
        QVERIFY2(ofColumns->gain() > 10.0, qPrintable(listed(*cures)));
    }

    // Each tensor was made ill in one way.
    void oneLoudColumnIsCuredByRotationOrSmallerGroups()
    {
        auto values = normalWeights(200 * 512, 0.0F, 0.02F, 1);
        for (std::size_t row = 0; row < 200; ++row)
            values[row * 512 + 100] = row % 2 == 0 ? 1.0F : -1.0F;
        const SyntheticTensor synthetic(200, 512, values);
        const auto cures = curesOn(2, synthetic.tensor(), "int4:channel");
        QVERIFY(cures.has_value());
        const auto* best = cureToSuggest(*cures);
        QVERIFY2(best && (best->kind == CureKind::Rotation || best->kind == CureKind::SmallerGroup),
            qPrintable(listed(*cures)));
        QVERIFY2(find(*cures, CureKind::Rotation)->gain() > 6.0, qPrintable(listed(*cures)));
        QVERIFY2(find(*cures, CureKind::SmallerGroup)->gain() > 3.0, qPrintable(listed(*cures)));
    }

    void oneSidedRowsAreCuredByAMinimum()
    {
        std::mt19937 random(2);
        std::uniform_real_distribution<float> uniform(1.0F, 1.5F);
        std::vector<float> values(128 * 256);
        std::generate(values.begin(), values.end(), [&] { return uniform(random); });
        const SyntheticTensor synthetic(128, 256, values);
        const auto cures = curesOn(2, synthetic.tensor(), "int4:g128");
        QVERIFY(cures.has_value());
        // Steps of 1.5/7 become steps of 0.5/15: 20·log10(6.43) = 16.2 dB; a zero point must still reach zero.
        const auto gain = find(*cures, "int4:asymf")->gain();
        QVERIFY2(gain > 15.0 && gain < 18.0, qPrintable(listed(*cures)));
        QVERIFY(find(*cures, "int4:asym")->gain() < 8.0);
        const auto* best = cureToSuggest(*cures);
        QVERIFY2(best && best->scheme.symmetry == Symmetry::AsymmetricFloat, qPrintable(listed(*cures)));
    }

    void heavyTailsAreCuredByAnotherRange()
    {
        auto values = normalWeights(200 * 512, 0.0F, 0.02F, 3);
        std::mt19937 random(4);
        for (std::size_t row = 0; row < 200; ++row)
            for (int k = 0; k < 2; ++k)
                values[row * 512 + random() % 512] *= 6.0F;
        const SyntheticTensor synthetic(200, 512, values);
        const auto cures = curesOn(2, synthetic.tensor(), "int3:channel");
        QVERIFY(cures.has_value());
        const auto* range = find(*cures, "int3:channel:mse");
        QVERIFY2(range != nullptr && range->gain() > 1.0, qPrintable(listed(*cures)));
        QCOMPARE(range->bytesAfter, range->bytesBefore);
        const auto* best = cureToSuggest(*cures);
        QVERIFY2(best && best->bytesAfter == best->bytesBefore, qPrintable(listed(*cures)));
    }

    void freeGainsComeFirstThenByGainPerByte()
    {
        const SyntheticTensor synthetic(120, 384, tests::llmWeights(120, 384, 11));
        for (const auto* scheme : {"int4:channel", "int3:g64:asym", "nf4", "q4_0", "mxfp4"}) {
            const auto cures = curesOn(2, synthetic.tensor(), scheme);
            QVERIFY2(cures && cures->size() > 3, scheme);
            const auto place = [](const Cure& cure) {
                return cure.gain() <= 0.0 ? 2 : cure.bytesAfter > cure.bytesBefore ? 1 : 0;
            };
            for (std::size_t i = 1; i < cures->size(); ++i) {
                const auto& a = (*cures)[i - 1];
                const auto& b = (*cures)[i];
                QVERIFY(place(a) <= place(b));
                if (place(a) == place(b))
                    QVERIFY(
                        place(a) == 1 ? a.gainPerAddedBit() >= 0.999999 * b.gainPerAddedBit() : a.gain() >= b.gain());
            }
        }
    }

    void blockFormatsNeedRowsOfWholeBlocks()
    {
        const SyntheticTensor whole(20, 512, tests::llmWeights(20, 512, 5)),
            cut(20, 288, tests::llmWeights(20, 288, 5));
        QVERIFY(find(*curesOn(2, whole.tensor(), "q4_0"), "q4_k") != nullptr);
        const auto cures = curesOn(2, cut.tensor(), "q4_0");
        QVERIFY(find(*cures, "q4_k") == nullptr);
        QVERIFY(find(*cures, "q5_0") != nullptr);
    }

    void largeTensorsAreSampled_data()
    {
        QTest::addColumn<QString>("scheme");
        QTest::addColumn<std::size_t>("band");
        QTest::addRow("rows") << "int4:g128" << std::size_t(1);
        QTest::addRow("bands") << "int4:b24x64" << std::size_t(24);
    }
    void largeTensorsAreSampled()
    {
        QFETCH(const QString, scheme);
        QFETCH(const std::size_t, band);
        constexpr std::size_t rows = 2400, columns = 1024;
        const SyntheticTensor synthetic(rows, columns, tests::llmWeights(rows, columns, 19), DType::BF16);
        const auto cures = curesOn(2, synthetic.tensor(), scheme.toStdString());
        QVERIFY(cures && !cures->empty());
        const std::size_t bands = mostCureWeights / columns / band;
        std::vector<float> sample;
        for (std::size_t i = 0; i < bands; ++i) {
            const auto first =
                synthetic.values().begin() + static_cast<std::ptrdiff_t>(rows / band * i / bands * band * columns);
            sample.insert(sample.end(), first, first + static_cast<std::ptrdiff_t>(band * columns));
        }
        for (const auto& cure : *cures) {
            QCOMPARE(cure.measuredRows, bands * band);
            QCOMPARE(cure.rows, rows);
            QCOMPARE(cure.bytesBefore, parsed(scheme.toStdString()).storedBytes({rows, columns}));
            if (cure.isMixture() || !cure.scheme.algorithms.empty())
                continue;
            const auto after = tests::naiveErrors(cure.scheme, sample, bands * band, columns);
            QVERIFY(std::abs(cure.sqnrAfter - decibels(after.signal, after.error)) < 1e-4L);
        }
        const auto* kept = find(*cures, CureKind::WiderRows);
        QVERIFY(kept != nullptr);
        QVERIFY(std::is_sorted(kept->kept.begin(), kept->kept.end()));
        // A row is named by its place in the tensor.
        QVERIFY(kept->kept.back() >= bands * band || kept->kept.back() % band == 0);
    }

    // Its partner's factors belong to rows and columns of the whole.
    void equalizedTensorsAreMeasuredWhole()
    {
        const SyntheticTensor synthetic(1100, 1024, tests::llmWeights(1100, 1024, 19));
        const auto cures = curesOn(2, synthetic.tensor(), "int4:channel+cle");
        QVERIFY(cures && !cures->empty());
        for (const auto& cure : *cures) {
            QCOMPARE(cure.measuredRows, 1100U);
            QVERIFY(!cure.isMixture());
        }
    }

    void sameBitsOnAnyNumberOfThreads()
    {
        const SyntheticTensor synthetic(900, 256, tests::llmWeights(900, 256, 3, 0.001));
        for (const auto* scheme : {"int4:g64", "int4:tensor", "q4_0"}) {
            const auto expected = curesOn(1, synthetic.tensor(), scheme);
            QVERIFY(expected && !expected->empty());
            for (const int threads : {2, 3, 8})
                QVERIFY2(*curesOn(threads, synthetic.tensor(), scheme) == *expected, scheme);
        }
    }

    void nothingToCure()
    {
        const SyntheticTensor some(20, 64, tests::llmWeights(20, 64, 3)), zero(20, 64, std::vector<float>(20 * 64));
        QVERIFY(curesOn(2, some.tensor(), "fp32")->empty());
        QVERIFY(curesOn(2, zero.tensor(), "int4")->empty());
        const SyntheticTensor nothing(0, 64, {});
        QVERIFY(curesOn(2, nothing.tensor(), "int4")->empty());
        const SyntheticTensor one(1, 1, {0.3F});
        QVERIFY(curesOn(2, one.tensor(), "int4").has_value());
    }

    void fillsItsPartOfTheProgress()
    {
        for (const auto* scheme : {"int4:g64", "int4:tensor:mse", "fp32", "q4_0"}) {
            const SyntheticTensor synthetic(300, 256, tests::llmWeights(300, 256, 3));
            Progress unseen, progress;
            const auto weights = measureWeights(synthetic.tensor(), {}, unseen).value();
            QVERIFY(tryCures(synthetic.tensor(), weights, parsed(scheme), nullptr, {}, progress).has_value());
            QVERIFY(progress.doneBytes.load() <= synthetic.tensor().bytes());
            QVERIFY(progress.doneBytes.load() >= synthetic.tensor().bytes() / 2);
        }
    }

    void stopsWhenAsked()
    {
        const SyntheticTensor synthetic(2000, 1024, tests::llmWeights(2000, 1024, 3));
        Progress progress;
        const auto weights = measureWeights(synthetic.tensor(), {}, progress).value();
        std::stop_source before;
        before.request_stop();
        const auto none = tryCures(synthetic.tensor(), weights, parsed("int4"), nullptr, before.get_token(), progress);
        QVERIFY(!none && none.error().code == ErrorCode::Cancelled);

        std::stop_source during;
        Progress watched;
        Result<std::vector<Cure>> cures;
        std::thread worker([&] {
            cures = tryCures(synthetic.tensor(), weights, parsed("int4:g128"), nullptr, during.get_token(), watched);
        });
        while (watched.doneBytes == 0)
            std::this_thread::yield();
        during.request_stop();
        worker.join();
        QVERIFY(!cures && cures.error().code == ErrorCode::Cancelled);
    }

    void refusesWhatIsNotBuilt()
    {
        const SyntheticTensor synthetic(20, 64, tests::llmWeights(20, 64, 3));
        const auto cures = curesOn(2, synthetic.tensor(), "int4+gptq");
        QVERIFY(!cures && cures.error().code == ErrorCode::Unsupported);
    }
};

QTEST_APPLESS_MAIN(TestCures)
#include "tst_cures.moc"
