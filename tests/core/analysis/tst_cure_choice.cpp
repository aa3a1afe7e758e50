// SPDX-License-Identifier: GPL-3.0-or-later
// Which cure is suggested, and how it is said: figures in, words out.
#include "core/analysis/cures.h"

#include <QTest>

#include <limits>

using namespace quantloupe;

namespace {

Scheme parsed(const std::string& text)
{
    return Scheme::parse(text).value();
}

}  // namespace

class TestCureChoice : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void suggestsWhatIsWorthIt()
    {
        const auto cure = [](const char* scheme, double gain, std::uint64_t bytes) {
            return Cure {.kind = CureKind::MoreBits,
                .scheme = parsed(scheme),
                .sqnrBefore = 20.0,
                .sqnrAfter = 20.0 + gain,
                .bytesBefore = 1000,
                .bytesAfter = bytes,
                .weights = 2000};
        };
        const std::vector<Cure> cures {cure("int4:symf", 0.5, 1000), cure("int4:asym", 2.0, 1000),
            cure("int4:g32", 3.5, 1100), cure("int5", 9.0, 1251)};
        const auto better = cure("int4:g64", 4.6, 1100);
        QVERIFY(cureToSuggest({&better, 1}) == &better);
        // 0.4 bits are worth 2.4 dB.
        QCOMPARE(cureToSuggest(cures)->scheme.toString(), std::string("int4:asym"));
        QCOMPARE(cureToSuggest(std::span(cures).subspan(2))->scheme.toString(), std::string("int4:g32"));
        QCOMPARE(cureToSuggest(std::span(cures).first(2))->scheme.toString(), std::string("int4:asym"));
        QVERIFY(cureToSuggest(std::span(cures).first(1)) == nullptr);
        QVERIFY(cureToSuggest(std::span(cures).last(1)) == nullptr);
        QVERIFY(cureToSuggest({}) == nullptr);
        auto mixture = cures[2];
        mixture.kind = CureKind::WiderRows;
        QVERIFY(cureToSuggest({&mixture, 1}) == nullptr);
        const auto modest = cure("int4:g16", 2.9, 1200);
        QVERIFY(cureToSuggest({&modest, 1}) == nullptr);
    }

    void saysItInASentence()
    {
        Cure cure {.kind = CureKind::SmallerGroup,
            .scheme = parsed("int4:g32"),
            .sqnrBefore = 24.06,
            .sqnrAfter = 27.31,
            .bytesBefore = 1000,
            .bytesAfter = 1100,
            .measuredRows = 64,
            .rows = 4096,
            .weights = 2000};
        QCOMPARE(cure.sentence(),
            std::string("A smaller group (int4:g32) would give 27.3 dB instead of 24.1 dB for 0.40 bits per weight "
                        "more (measured on 64 of 4096 rows)."));
        cure.kind = CureKind::Rotation;
        cure.scheme = parsed("int4+hadamard");
        cure.bytesAfter = 1000;
        cure.measuredRows = 4096;
        QCOMPARE(cure.sentence(),
            std::string("A Hadamard rotation, of activations too (int4+hadamard) would give 27.3 dB instead of "
                        "24.1 dB at the same size (measured on the whole tensor)."));
        cure.kind = CureKind::WiderColumns;
        cure.kept = {7};
        cure.bytesAfter = 1001;
        cure.sqnrAfter = std::numeric_limits<double>::infinity();
        QCOMPARE(cure.sentence(),
            std::string("Keeping the input channel with the largest weights in fp16 would give no loss instead of "
                        "24.1 dB for less than 0.01 bits per weight more (measured on the whole tensor)."));
        cure.kind = CureKind::WiderRows;
        cure.kept = {7, 9};
        cure.bytesAfter = 900;
        QVERIFY(cure.sentence().starts_with("Keeping the 2 output channels with most error in int8 would give"));
        QVERIFY(cure.sentence().find("0.40 bits per weight less") != std::string::npos);
    }
};

QTEST_APPLESS_MAIN(TestCureChoice)
#include "tst_cure_choice.moc"
