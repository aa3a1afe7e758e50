// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/schemes/scheme.h"

#include <QTest>

#include <string>
#include <unordered_set>

using namespace quantloupe;

namespace {

// What the notation allows after a format name, written out a second time, independent of the parser's table.
enum class Parts { All, ScaledWithRange, ScaledWithoutRange, None };

struct Row {
    const char* name;
    Parts parts;
    const char* granularity;  // the default
};

constexpr Row formats[] = {{"int2", Parts::All, "g128"}, {"int3", Parts::All, "g128"}, {"int4", Parts::All, "g128"},
    {"int5", Parts::All, "channel"}, {"int6", Parts::All, "channel"}, {"int7", Parts::All, "channel"},
    {"int8", Parts::All, "channel"}, {"int16", Parts::All, "channel"}, {"ternary", Parts::ScaledWithoutRange, "tensor"},
    {"fp32", Parts::None, ""}, {"fp16", Parts::None, ""}, {"bf16", Parts::None, ""},
    {"fp8_e4m3", Parts::ScaledWithRange, "channel"}, {"fp8_e5m2", Parts::ScaledWithRange, "channel"},
    {"fp6_e2m3", Parts::ScaledWithRange, "channel"}, {"fp6_e3m2", Parts::ScaledWithRange, "channel"},
    {"fp4_e2m1", Parts::ScaledWithRange, "channel"}, {"nf4", Parts::ScaledWithRange, "g64"},
    {"fp4_bnb", Parts::ScaledWithRange, "g64"}, {"lut2", Parts::ScaledWithoutRange, "channel"},
    {"lut3", Parts::ScaledWithoutRange, "channel"}, {"lut4", Parts::ScaledWithoutRange, "channel"},
    {"pot3", Parts::ScaledWithRange, "channel"}, {"pot4", Parts::ScaledWithRange, "channel"},
    {"pot5", Parts::ScaledWithRange, "channel"}, {"mxfp8_e4m3", Parts::None, ""}, {"mxfp8_e5m2", Parts::None, ""},
    {"mxfp6_e2m3", Parts::None, ""}, {"mxfp6_e3m2", Parts::None, ""}, {"mxfp4", Parts::None, ""},
    {"nvfp4", Parts::None, ""}, {"mxint8", Parts::None, ""}, {"q4_0", Parts::None, ""}, {"q4_1", Parts::None, ""},
    {"q5_0", Parts::None, ""}, {"q5_1", Parts::None, ""}, {"q8_0", Parts::None, ""}, {"q2_k", Parts::None, ""},
    {"q3_k", Parts::None, ""}, {"q4_k", Parts::None, ""}, {"q5_k", Parts::None, ""}, {"q6_k", Parts::None, ""},
    {"iq4_nl", Parts::None, ""}, {"iq4_xs", Parts::None, ""}};

const std::vector<std::string> granularities {
    "tensor", "channel", "token", "g1", "g32", "g43", "g64", "g128", "b16x16", "b128x128"};
const std::vector<std::string> symmetries {"sym", "symf", "asym", "asymf"};
const std::vector<std::string> ranges {"minmax", "p99.9", "p99.99", "p100", "p50.5", "mse", "entropy"};
const std::vector<std::string> storages {"s32", "s16", "sbf16", "se8m0", "s8"};
const std::vector<std::string> tails {"", "+gptq", "+cd", "+awq+gptq", "+smooth", "+hqq", "+adaround",
    "+hadamard+gptq+biascorr", "+cle", "+imatrix", "+qat"};

// "" stands for a part left out.
std::vector<std::string> optional(const std::vector<std::string>& words)
{
    std::vector<std::string> result {""};
    result.insert(result.end(), words.begin(), words.end());
    return result;
}

std::string part(const std::string& word, const std::string& skip)
{
    return word.empty() || word == skip ? "" : ":" + word;
}

}  // namespace

class TestScheme : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void roundTripOfTheWholeGrammar();
    void uintIsAsym();
    void canonicalSpelling_data();
    void canonicalSpelling();
    void refused_data();
    void refused();
    void layerPlans();
    void everyFormatIsListed();
    void hashFollowsEquality();
};

void TestScheme::roundTripOfTheWholeGrammar()
{
    int count = 0;
    for (const Row& row : formats) {
        const bool scaled = row.parts != Parts::None;
        const auto granularityWords = scaled ? optional(granularities) : std::vector<std::string> {""};
        const auto symmetryWords = row.parts == Parts::All ? optional(symmetries) : std::vector<std::string> {""};
        const bool ranged = row.parts == Parts::All || row.parts == Parts::ScaledWithRange;
        const auto rangeWords = ranged ? optional(ranges) : std::vector<std::string> {""};
        const auto storageWords = scaled ? optional(storages) : std::vector<std::string> {""};
        for (const auto& granularity : granularityWords)
            for (const auto& symmetry : symmetryWords)
                for (const auto& range : rangeWords)
                    for (const auto& storage : storageWords)
                        for (const auto& tail : tails) {
                            const std::string text = row.name + part(granularity, "") + part(symmetry, "")
                                + part(range, "") + part(storage, "") + tail;
                            const std::string shortest = row.name + part(granularity, row.granularity)
                                + part(symmetry, "sym") + part(range, "minmax") + part(storage, "s16") + tail;
                            const auto scheme = Scheme::parse(text);
                            if (!scheme)
                                QFAIL((text + ": " + scheme.error().reason).c_str());
                            if (scheme->toString() != shortest)
                                QFAIL((text + " printed as " + scheme->toString() + ", not " + shortest).c_str());
                            if (Scheme::parse(shortest) != *scheme)
                                QFAIL((shortest + " is another scheme than " + text).c_str());
                            ++count;
                        }
    }
    QVERIFY(count > 100'000);
}

void TestScheme::uintIsAsym()
{
    for (int bits = 2; bits <= 8; ++bits) {
        const std::string n = std::to_string(bits);
        QCOMPARE(Scheme::parse("uint" + n)->toString(), "int" + n + ":asym");
        QCOMPARE(Scheme::parse("uint" + n + ":tensor:asym:mse:s32+gptq")->toString(),
            "int" + n + ":tensor:asym:mse:s32+gptq");
        QVERIFY(Scheme::parse("uint" + n) == Scheme::parse("int" + n + ":asym"));
    }
}

void TestScheme::canonicalSpelling_data()
{
    QTest::addColumn<std::string>("text");
    QTest::addColumn<std::string>("canonical");
    QTest::newRow("int8 in full") << std::string("int8:channel:sym:minmax:s16") << std::string("int8");
    QTest::newRow("int4 in full") << std::string("int4:g128:sym:minmax:s16") << std::string("int4");
    QTest::newRow("int4 by channel") << std::string("int4:channel") << std::string("int4:channel");
    QTest::newRow("the example") << std::string("int4:g32:asym:mse+gptq") << std::string("int4:g32:asym:mse+gptq");
    QTest::newRow("uint4") << std::string("uint4:g32") << std::string("int4:g32:asym");
    QTest::newRow("nf4") << std::string("nf4:g64") << std::string("nf4");
    QTest::newRow("ternary") << std::string("ternary:tensor:s16") << std::string("ternary");
    QTest::newRow("percentile zeros") << std::string("int8:p099.900") << std::string("int8:p99.9");
    QTest::newRow("tiny percentile") << std::string("int8:p0.00000001") << std::string("int8:p0.00000001");
    QTest::newRow("algorithm order kept") << std::string("int4+gptq+awq") << std::string("int4+gptq+awq");
}

void TestScheme::canonicalSpelling()
{
    QFETCH(const std::string, text);
    QFETCH(const std::string, canonical);
    QCOMPARE(Scheme::parse(text)->toString(), canonical);
}

void TestScheme::refused_data()
{
    QTest::addColumn<std::string>("text");
    QTest::addColumn<QString>("reason");
    const auto row = [](const char* text, const char* reason) {
        QTest::newRow(text) << std::string(text) << QString(reason);
    };
    row("", "no number format");
    row("int", "no number format");
    row("int1", "no number format");
    row("int9", "no number format");
    row("uint16", "no number format");
    row("uint9", "no number format");
    row("INT4", "no number format");
    row(" int4", "no number format");
    row("int4 ", "no number format");
    row(":int4", "no number format");
    row("int4:", "empty part");
    row("int4::asym", "empty part");
    row("int4:sym:", "empty part");
    row("int4:g", "no part");
    row("int4:g-1", "no part");
    row("int4:g1.5", "no part");
    row("int4:group32", "no part");
    row("int4:g0", "size 0");
    row("int4:g032", "size 032");
    row("int4:g1048577", "size 1048577");
    row("int4:g99999999999999999999", "from 1 to 1048576");
    row("int4:b0x16", "size 0");
    row("int4:b16x0", "size 0");
    row("int4:b16", "no part");
    row("int4:b16x", "no part");
    row("int4:bx16", "no part");
    row("int4:b16x16x16", "no part");
    row("int4:p0", "percentile 0");
    row("int4:p0.0", "percentile 0.0");
    row("int4:p100.1", "percentile 100.1");
    row("int4:p", "no part");
    row("int4:p99.", "no part");
    row("int4:p1e1", "no part");
    row("int4:p-5", "no part");
    row("int4:pnan", "no part");
    row("int4:asym:p50", "above 50");
    row("uint4:p10", "above 50");
    row("int4:s64", "no part");
    row("int4:g32:g64", "second granularity");
    row("int4:channel:tensor", "second granularity");
    row("int4:sym:asym", "second symmetry");
    row("int4:mse:minmax", "second range");
    row("int4:s16:s32", "second scale storage");
    row("int4:asym:g32", "granularity after symmetry");
    row("int4:mse:asym", "symmetry after range");
    row("int4:s16:mse", "range after scale storage");
    row("int4+", "no algorithm");
    row("int4+gptq+", "no algorithm");
    row("int4+foo", "no algorithm");
    row("int4+gptq+gptq", "twice");
    row("int4+gptq:g32", "no algorithm");
    row("+gptq", "no number format");
    row("uint4:sym", "asym is the only symmetry");
    row("uint4:asymf", "asym is the only symmetry");
    row("fp16:channel", "takes no granularity");
    row("fp32:s32", "takes no scale storage");
    row("bf16:sym", "takes no symmetry");
    row("bf16:mse", "takes no range");
    row("mxfp4:g32", "takes no granularity");
    row("nvfp4:s16", "takes no scale storage");
    row("q4_0:mse", "takes no range");
    row("q4_k:asym", "takes no symmetry");
    row("nf4:asym", "takes no symmetry");
    row("fp8_e4m3:sym", "takes no symmetry");
    row("ternary:mse", "takes no range");
    row("ternary:sym", "takes no symmetry");
    row("lut3:p99", "takes no range");
    row("pot4:symf", "takes no symmetry");
    row("int8:channel/int8:token", "no part");
    QTest::newRow("very long") << "int4" + std::string(100'000, ':') << QString("longer than");
}

void TestScheme::refused()
{
    QFETCH(const std::string, text);
    QFETCH(const QString, reason);
    const auto scheme = Scheme::parse(text);
    QVERIFY(!scheme);
    QCOMPARE(scheme.error().code, ErrorCode::InvalidArgument);
    QVERIFY2(QString::fromStdString(scheme.error().reason).contains(reason), scheme.error().reason.c_str());
    QVERIFY(scheme.error().where.size() < 300);
}

void TestScheme::layerPlans()
{
    const auto plan = LayerPlan::parse("int8:channel/int8:token");
    QVERIFY(plan.has_value());
    QCOMPARE(plan->weights.toString(), "int8");
    QCOMPARE(plan->activations->toString(), "int8:token");
    QCOMPARE(plan->toString(), "int8/int8:token");
    QVERIFY(LayerPlan::parse(plan->toString()) == plan);
    QCOMPARE(LayerPlan::parse("int4:g128/fp16")->toString(), "int4/fp16");
    QCOMPARE(LayerPlan::parse("int4:g32")->toString(), "int4:g32");
    QVERIFY(!LayerPlan::parse("int4:g32")->activations);
    QVERIFY(!LayerPlan::parse("int8:token/int8:token"));
    QVERIFY(!LayerPlan::parse("int8/"));
    QVERIFY(!LayerPlan::parse("/int8"));
    QVERIFY(!LayerPlan::parse("int8/int8/int8"));
    QVERIFY(!LayerPlan::parse(""));
}

void TestScheme::everyFormatIsListed()
{
    QCOMPARE(allFormats().size(), std::size(formats));
    for (std::size_t i = 0; i < std::size(formats); ++i)
        QCOMPARE(std::string(nameOf(allFormats()[i])), std::string(formats[i].name));
    QVERIFY(
        isInteger(Format::Int2) && isInteger(Format::Int16) && !isInteger(Format::Ternary) && !isInteger(Format::Q8_0));
    QCOMPARE(codeBits(Format::Ternary), 1.6);
    QCOMPARE(codeBits(Format::Nf4), 4.0);
    QCOMPARE(codeBits(Format::Q2_K), 2.0);
}

void TestScheme::hashFollowsEquality()
{
    std::unordered_set<Scheme> schemes;
    schemes.insert(*Scheme::parse("int4"));
    schemes.insert(*Scheme::parse("int4:g128:sym"));
    schemes.insert(*Scheme::parse("int4:g64"));
    QCOMPARE(schemes.size(), std::size_t(2));
}

QTEST_APPLESS_MAIN(TestScheme)
#include "tst_scheme.moc"
