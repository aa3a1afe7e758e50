// SPDX-License-Identifier: GPL-3.0-or-later
// What recipes were measured to be: durable at once, the same after folding and reading, replaced by itself alone.
#include "tests/support/synthetic_study.h"

#include <QTemporaryDir>
#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

MeasuredRecipe measured(const char* text, double mean, std::uint64_t fingerprint, std::uint64_t calibration = 0)
{
    auto recipe = Recipe::uniform(scheme(text), syntheticCatalog(1));
    recipe.notes = "a note, \xc3\xa9";
    return {recipe, "text.txt", calibration, {mean, 0.1 * mean, 511, fingerprint}};
}

bool holds(const StudySnapshot& study, const std::vector<MeasuredRecipe>& expected)
{
    return std::equal(study.measuredRecipes.begin(), study.measuredRecipes.end(), expected.begin(), expected.end(),
        [](const auto& one, const auto& other) { return *one == other; });
}

}  // namespace

class TestMeasuredRecipes : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void staysThroughJournalAndFile()
    {
        const QTemporaryDir folder;
        const auto path = std::filesystem::path(folder.filePath("s.h5").toStdString());
        const std::vector<MeasuredRecipe> all {measured("int4:g32", 0.1234567890123456789, 7),
            measured("int3:g32:asym+gptq", 0.25, 7, 99), measured("int4:g32", 0.5, 8)};
        {
            auto study = Study::open(path, syntheticCatalog(1)).value();
            for (const auto& one : all)
                QVERIFY(study->append(one));
            QVERIFY(holds(*study->snapshot(), all));
            QVERIFY(holds(**Study::read(path), all));  // by the journal
            QVERIFY(study->close());
        }
        QVERIFY(holds(**Study::read(path), all));
        QVERIFY(holds(*Study::open(path, syntheticCatalog(1)).value()->snapshot(), all));
    }

    /// Another text, or algorithms that went by other inputs, is another measurement.
    void replacesTheSameAlone()
    {
        const QTemporaryDir folder;
        auto study =
            Study::open(std::filesystem::path(folder.filePath("s.h5").toStdString()), syntheticCatalog(1)).value();
        for (const auto& one : {measured("int4:g32", 0.1, 7), measured("int4:g32", 0.2, 8),
                 measured("int4:g32", 0.3, 7, 5), measured("int4:g32", 0.4, 7)})
            QVERIFY(study->append(one));
        QVERIFY(holds(*study->snapshot(),
            {measured("int4:g32", 0.2, 8), measured("int4:g32", 0.3, 7, 5), measured("int4:g32", 0.4, 7)}));
    }

    void whatWasNotMeasuredIsRefused()
    {
        const QTemporaryDir folder;
        auto study =
            Study::open(std::filesystem::path(folder.filePath("s.h5").toStdString()), syntheticCatalog(1)).value();
        auto nothing = measured("int4:g32", 0.1, 7);
        nothing.divergence.predictions = 0;
        const auto refused = study->append(nothing);
        QVERIFY(!refused);
        QCOMPARE(refused.error().code, ErrorCode::InvalidArgument);
        QVERIFY(study->snapshot()->measuredRecipes.empty());
    }
};

QTEST_APPLESS_MAIN(TestMeasuredRecipes)
#include "tst_measured_recipes.moc"
