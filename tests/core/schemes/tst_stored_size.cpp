// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/schemes/scheme.h"

#include <QTest>

using namespace quantloupe;

// Every figure was worked out by hand: codes + scales + zero points or minimums.
class TestStoredSize : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void bytes_data()
    {
        QTest::addColumn<std::string>("scheme");
        QTest::addColumn<quint64>("rows");
        QTest::addColumn<quint64>("columns");
        QTest::addColumn<quint64>("bytes");
        const auto row = [](const char* scheme, quint64 rows, quint64 columns, quint64 bytes) {
            QTest::addRow("%s %llux%llu", scheme, rows, columns) << std::string(scheme) << rows << columns << bytes;
        };
        row("fp32", 3, 5, 60);
        row("fp16", 3, 5, 30);
        row("bf16", 3, 5, 30);
        row("int8", 4, 10, 40 + 4 * 2);
        row("int8:s32", 4, 10, 40 + 4 * 4);
        row("int8:tensor:s32", 4, 10, 40 + 4);
        row("int8:sbf16", 4, 10, 40 + 4 * 2);
        row("int8:se8m0", 4, 10, 40 + 4);
        row("int16", 4, 10, 80 + 8);
        row("int4", 2, 256, 256 + 4 * 2);
        row("int4:g64", 172, 172, 172 * 86 + 172 * 3 * 2);  // ragged: 64 + 64 + 44
        row("int4:g128", 1, 1, 1 + 2);
        row("int4:channel", 3, 7, 3 * 4 + 3 * 2);         // 28 bits pad to 4 bytes
        row("int3:channel", 3, 7, 3 * 3 + 3 * 2);         // 21 bits pad to 3 bytes
        row("int3:g32:asym", 2, 64, 2 * 24 + 4 * 2 + 2);  // 4 zero points × 3 bits = 12 bits
        row("int5:asym", 3, 8, 3 * 5 + 3 * 2 + 2);        // 3 zero points × 5 bits = 15 bits
        row("int4:g32:asymf", 2, 64, 2 * 32 + 4 * 2 + 4 * 2);
        row("int4:g32:asymf:s32", 2, 64, 2 * 32 + 4 * 4 + 4 * 4);
        row("int8:tensor:asym", 5, 3, 15 + 2 + 1);
        row("int8:b16x16", 17, 33, 17 * 33 + 2 * 3 * 2);
        row("int8:token", 9, 16, 9 * 16 + 9 * 2);
        row("ternary", 2, 11, 2 * 3 + 2);
        row("ternary:channel:s32", 2, 10, 2 * 2 + 2 * 4);
        row("nf4", 2, 128, 2 * 64 + 4 * 2);
        row("nf4:s32", 2, 128, 2 * 64 + 4 * 4);
        row("nf4:s8", 64, 1024, 64 * 512 + 1024 + 4 * 4 + 4);  // bitsandbytes: 1024 bytes, 4 blocks of 256, offset
        row("nf4:s8", 1, 64, 32 + 1 + 4 + 4);
        row("fp8_e4m3", 3, 5, 15 + 6);
        row("fp6_e2m3:tensor", 3, 5, 3 * 4 + 2);  // 30 bits pad to 4 bytes
        row("lut3", 2, 16, 2 * 6 + 2 * 8 * 2);    // a table of 8 FP16 per row
        row("pot4", 2, 16, 2 * 8 + 2 * 2);
        row("mxfp4", 2, 64, 2 * 2 * 17);
        row("mxfp4", 2, 65, 2 * 3 * 17);
        row("mxfp6_e3m2", 1, 32, 25);
        row("mxfp8_e5m2", 1, 32, 33);
        row("mxint8", 1, 33, 66);
        row("nvfp4", 4, 64, 4 * 4 * 9 + 4);
        row("q4_0", 3, 64, 3 * 2 * 18);
        row("q4_1", 1, 32, 20);
        row("q5_0", 1, 32, 22);
        row("q5_1", 1, 32, 24);
        row("q8_0", 1, 33, 68);
        row("q2_k", 1, 256, 84);
        row("q3_k", 1, 256, 110);
        row("q4_k", 2, 257, 2 * 2 * 144);
        row("q5_k", 1, 256, 176);
        row("q6_k", 1, 256, 210);
        row("iq4_nl", 1, 32, 18);
        row("iq4_xs", 1, 256, 136);
        row("int4", 0, 64, 0);
        row("int4", 64, 0, 0);
        row("nvfp4", 0, 0, 0);
        // 4 bits × 2⁴⁰ columns: nothing on the way overflows.
        row("int4:tensor", 1 << 20, quint64(1) << 40, (quint64(1) << 59) + 2);
    }

    void bytes()
    {
        QFETCH(const std::string, scheme);
        QFETCH(const quint64, rows);
        QFETCH(const quint64, columns);
        QFETCH(const quint64, bytes);
        const MatrixShape shape {rows, columns};
        const auto parsed = Scheme::parse(scheme);
        QVERIFY(parsed.has_value());
        QCOMPARE(quint64(parsed->storedBytes(shape)), bytes);
        const double weights = double(rows) * double(columns);
        QCOMPARE(parsed->bitsPerWeight(shape), weights > 0.0 ? double(bytes) * 8.0 / weights : 0.0);
    }

    void wellKnownRates()
    {
        const MatrixShape shape {4096, 4096};
        const auto rate = [&](const char* scheme) { return Scheme::parse(scheme)->bitsPerWeight(shape); };
        QCOMPARE(rate("int4"), 4.125);
        QCOMPARE(rate("int4:g32"), 4.5);
        QCOMPARE(rate("int4:g32:asym"), 4.625);
        QCOMPARE(rate("nf4:s32"), 4.5);
        QCOMPARE(rate("q4_0"), 4.5);
        QCOMPARE(rate("q4_k"), 4.5);
        QCOMPARE(rate("q6_k"), 6.5625);
        QCOMPARE(rate("mxfp4"), 4.25);
        // 4.127 bits per weight: QLoRA's double quantization, and 32 bits for the offset.
        QVERIFY(std::abs(rate("nf4:s8") - (4.0 + 8.0 / 64 + 32.0 / (64 * 256))) < 1e-5);
    }
};

QTEST_APPLESS_MAIN(TestStoredSize)
#include "tst_stored_size.moc"
