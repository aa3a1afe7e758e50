// SPDX-License-Identifier: GPL-3.0-or-later
// TensorFlow Lite files broken in one chosen place, after one that is whole.
#include "tests/support/bounded_open.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/tensor_figures.h"
#include "tests/support/tflite_file.h"

#include <QTest>

using namespace quantloupe;
using tests::TfliteFile;

class TestMalformedTflite : public QObject
{
    Q_OBJECT

    tests::CheckpointFolder m_folder;

private Q_SLOTS:
    void whole()
    {
        const auto model = openModel(m_folder.write("m.tflite", TfliteFile().bytes()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto& tensor = (*model)->tensors.at(0);
        QVERIFY(tensor.name == "w" && tensor.view.shape == Shape({2, 3}) && tensor.quantizable());
        QCOMPARE(tensor.view.decoder->description(), std::string("TFLite int8:tensor:asym"));
        QCOMPARE(tests::valuesOf(tensor.view), (std::vector<float> {-1, -0.5F, 0, 0.5F, 1, 1.5F}));
        const auto depthwise = openModel(m_folder.write("m.tflite",
            TfliteFile {.extents = {1, 1, 2, 3}, .scales = {1, 2, 4}, .zeroPoints = {}, .axis = 3, .code = 4}.bytes()));
        QVERIFY2(depthwise, depthwise ? "" : describe(depthwise.error()).c_str());
        QCOMPARE(tests::valuesOf((*depthwise)->tensors.at(0).view), (std::vector<float> {1, 4, 4, 10, 12, 24}));
    }

    void refuses_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<int>("code");
        const auto row = [](const char* name, const std::string& file, ErrorCode code) {
            QTest::newRow(name) << QByteArray(file.data(), qsizetype(file.size())) << int(code);
        };
        const auto bad = ErrorCode::Malformed, cut = ErrorCode::Truncated;
        const auto valid = TfliteFile().bytes();
        const auto with = [&](std::size_t at, const std::string& bytes) {
            auto file = valid;
            return file.replace(at, bytes.size(), bytes);
        };
        constexpr std::uint32_t root = 8 + 4 + 2 * 5;
        row("mark only", std::string("\x1c\0\0\0TFL3", 8), cut);
        row("root past the end", with(0, tests::raw(~0U)), cut);
        row("root of distance 0", with(0, tests::raw(0U)), cut);
        row("list of fields before the file", with(root, tests::raw(1'000)), cut);
        row("list of fields behind the file", with(root, tests::raw(-100'000)), cut);
        row("vector past the end", with(root + 4 + 4 * 2, tests::raw(0x7fff'ffffU)), cut);
        const auto graphs = root + 4 + 4 * 5 + 4 + 4;
        row("vector of 2^32-1", with(graphs, tests::raw(~0U)), cut);
        row("negative extent", TfliteFile {.extents = {-2, 3}}.bytes(), bad);
        row("extents too large", TfliteFile {.extents = {2, 4}}.bytes(), bad);
        row("extents overflow", TfliteFile {.extents = std::vector<std::int32_t>(8, 0x7fff'ffff)}.bytes(), bad);
        row("rank 9", TfliteFile {.extents = std::vector<std::int32_t>(9, 1)}.bytes(), bad);
        row("type too wide", TfliteFile {.type = 4}.bytes(), bad);
        row("no such buffer", TfliteFile {.buffer = 2}.bytes(), bad);
        row("name not UTF-8", TfliteFile {.name = "\xff"}.bytes(), bad);
        row("scales of no axis", TfliteFile {.scales = {1, 2, 3}, .axis = 0}.bytes(), bad);
        row("axis too large", TfliteFile {.scales = {1, 2}, .axis = 2}.bytes(), bad);
        row("negative axis", TfliteFile {.scales = {1, 2}, .axis = ~0U}.bytes(), bad);
        row("more zero points than scales", TfliteFile {.zeroPoints = {1, 2}}.bytes(), bad);
        row("too many tensors", TfliteFile {.copies = 1'000'001}.bytes(), bad);
        row("one long name again and again", TfliteFile {.name = std::string(1'000'000, 'n'), .copies = 1'000}.bytes(),
            bad);
        const std::vector<float> scales(100'000, 1.0F);
        row("the same zero points again and again",
            TfliteFile {.extents = {100'000},
                .data = std::string(100'000, '\1'),
                .scales = scales,
                .zeroPoints = std::vector<std::int64_t>(100'000, 0),
                .copies = 100'000}
                .bytes(),
            bad);
    }

    void refuses()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const int, code);
        QUANTLOUPE_REFUSES(m_folder.write("m.tflite", file.toStdString()), ErrorCode(code), "");
    }

    void strangersAreLeftOut()
    {
        // Text, an unknown type, an operator that does not exist: nothing that would have to be refused.
        for (const std::uint32_t type : {5U, 13U, 200U}) {
            const auto model =
                openModel(m_folder.write("m.tflite", TfliteFile {.type = type, .operatorIndex = 7}.bytes()));
            QVERIFY2(model, model ? "" : describe(model.error()).c_str());
            QVERIFY((*model)->tensors.empty());
            QCOMPARE((*model)->warnings.size(), std::size_t(2));
            QVERIFY((*model)->warnings.back().starts_with("The model has no tensors"));
        }
    }
};

QTEST_APPLESS_MAIN(TestMalformedTflite)
#include "tst_malformed_tflite.moc"
