// SPDX-License-Identifier: GPL-3.0-or-later
// A training chosen, watched, stopped, gone on with, written and discarded as a person does, on a model that runs;
// its curves against those of a training by hand.
#include "core/analysis/quantized_model.h"
#include "core/file_formats/file_format.h"
#include "core/inference/evaluate.h"
#include "tests/support/tiny_model.h"
#include "tests/widgets/pages/qat_fixture.h"
#include "widgets/pages/qat_page.h"
#include "widgets/plots/level_histogram_plot.h"
#include "widgets/plots/step_size_plot.h"
#include "widgets/plots/training_curve_plot.h"
#include "widgets/workbench/quantized_training.h"
#include "widgets/workbench/workbench.h"

#include <QComboBox>
#include <QLabel>
#include <QMenu>
#include <QMessageBox>
#include <QPushButton>
#include <QSignalSpy>
#include <QSpinBox>
#include <QStandardItemModel>
#include <QTableWidget>
#include <QTest>

#include <utility>

using namespace quantloupe;

class TestQatPage : public QObject, private tests::QatFixture
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase()
    {
        openStories({1000, 720}, [this] { QVERIFY(reason().contains(QStringLiteral("Open a model"))); });
    }
    void cleanupTestCase() { close(); }

    void saysWhatIsMissing()
    {
        QVERIFY(!button("start-training")->isEnabled());
        QVERIFY(!button("stop-training")->isEnabled());
        QVERIFY(!button("save-trained")->isEnabled());
        QVERIFY(!button("compare-recipe")->isEnabled());
        QVERIFY(!button("discard-training")->isEnabled());
        QVERIFY2(status().contains(QStringLiteral("Choose a text")), qPrintable(status()));
        chooseText();
        QVERIFY(button("start-training")->isEnabled());
        QVERIFY(status().isEmpty());
    }

    /// Each rule is offered where it makes sense, and the reason shown where not.
    void rulesGoWithSchemes_data()
    {
        QTest::addColumn<QString>("scheme");
        QTest::addColumn<QList<bool>>("offered");  // ste, lsq, aff
        QTest::addColumn<QString>("reason");
        QTest::newRow("sym") << QStringLiteral("int3:g32") << QList<bool> {true, true, false}
                             << QStringLiteral("asymf");
        QTest::newRow("asym") << QStringLiteral("int3:g32:asym") << QList<bool> {true, true, false}
                              << QStringLiteral("asymf");
        QTest::newRow("asymf") << QStringLiteral("int3:g32:asymf") << QList<bool> {true, false, true}
                               << QStringLiteral("sym, symf or asym");
        QTest::newRow("code book") << QStringLiteral("nf4:g32") << QList<bool> {true, false, false}
                                   << QStringLiteral("ste trains any format");
    }
    void rulesGoWithSchemes()
    {
        QFETCH(const QString, scheme);
        QFETCH(const QList<bool>, offered);
        QFETCH(const QString, reason);
        chooseScheme(scheme);
        auto* rules = child<QComboBox>("train-rule");
        const auto* items = qobject_cast<QStandardItemModel*>(rules->model());
        for (int i = 0; i < 3; ++i) {
            QCOMPARE(items->item(i)->isEnabled(), offered[i]);
            QVERIFY(!items->item(i)->toolTip().isEmpty());
        }
        const auto* hint = child<QLabel>("train-hint");
        QVERIFY(hint->isVisible());
        QVERIFY2(hint->text().contains(reason), qPrintable(hint->text()));
        QVERIFY(button("start-training")->isEnabled());
    }

    void aRuleThatDoesNotGoCannotStart()
    {
        chooseScheme(QStringLiteral("int3:g32:asymf"));
        chooseRule(StepRule::Affine);
        QVERIFY(button("start-training")->isEnabled());
        chooseScheme(QStringLiteral("int3:g32:asym"));
        QVERIFY(!button("start-training")->isEnabled());
        QVERIFY2(status().contains(QStringLiteral("floating minimum")), qPrintable(status()));
        chooseRule(StepRule::Estimated);
        QVERIFY(button("start-training")->isEnabled());
    }

    void curvesAreThoseOfATrainingByHand_data()
    {
        QTest::addColumn<QString>("scheme");
        QTest::addColumn<int>("rule");
        QTest::newRow("ste") << QStringLiteral("int3:g32:asym") << int(StepRule::Estimated);
        QTest::newRow("aff") << QStringLiteral("int3:g32:asymf") << int(StepRule::Affine);
    }
    void curvesAreThoseOfATrainingByHand()
    {
        QFETCH(const QString, scheme);
        QFETCH(const int, rule);
        begin(scheme, StepRule(rule));
        const auto layer = QStringLiteral("model.layers.2.mlp.down_proj.weight");
        m_workbench->select({layer});
        click("start-training");
        QVERIFY(!child<QWidget>("train-steps")->isEnabled());
        QVERIFY(ends(QuantizedTraining::State::Done));
        m_page->resize(1000, 720);

        const ByHand hand(*m_workbench->model(), m_text, scheme, StepRule(rule));
        auto training = hand.begin();
        TrainingTrace trace(training->student());
        Progress progress;
        QVERIFY(training->run({}, progress, [&]() -> Result<void> {
            trace.note(training->history().steps.size(), training->student());
            return {};
        }));
        const auto& history = training->history();
        QCOMPARE(history.steps.size(), std::size_t(steps));

        const auto& loss = m_page->findChild<LossPlot*>()->data();
        const auto& perplexity = m_page->findChild<PerplexityPlot*>()->data();
        QCOMPARE(loss.lines[0].values.size(), history.steps.size());
        for (std::size_t i = 0; i < history.steps.size(); ++i)
            QCOMPARE(loss.lines[0].values[i], history.steps[i].loss);
        QCOMPARE(loss.lines[1].values.size(), history.evaluations.size());
        QCOMPARE(perplexity.lines[0].values.size(), history.evaluations.size());
        for (std::size_t i = 0; i < history.evaluations.size(); ++i) {
            QCOMPARE(loss.lines[1].steps[i], history.evaluations[i].step);
            QCOMPARE(loss.lines[1].values[i], history.evaluations[i].divergence);
            QCOMPARE(perplexity.lines[0].values[i], history.evaluations[i].perplexity);
        }
        QCOMPARE(perplexity.reference, history.evaluations.front().teacherPerplexity);
        QVERIFY(history.evaluations.back().divergence < history.evaluations.front().divergence);

        // The selected layer's scales and weights.
        QTRY_COMPARE(m_page->findChild<StepSizePlot*>()->data().tensor, layer);
        const auto index = placeOf(*training, layer);
        QVERIFY(m_page->findChild<StepSizePlot*>()->data().spreads == trace.spreads(index));
        const auto& levels = m_page->findChild<LevelHistogramPlot*>()->data();
        QVERIFY(levels.now == levelHistogram(training->student().matrices()[index]));
        QVERIFY(levels.beginning == trace.beginning(index));

        // Rounding without training, by another way: what grids found anew from the weights begin with.
        const ByHand nearest(*m_workbench->model(), m_text, scheme, StepRule::Estimated);
        const auto rounded = nearest.begin()->evaluate({}).value();
        const auto* table = child<QTableWidget>("training-figures");
        const bool fitted = StepRule(rule) == StepRule::Affine;
        QCOMPARE(table->rowCount(), fitted ? 4 : 3);
        const auto number = [&](int row, int column) { return QLocale().toDouble(table->item(row, column)->text()); };
        QVERIFY(std::abs(number(0, 1) - rounded.teacherPerplexity) < 1e-3);
        QVERIFY(std::abs(number(1, 1) - rounded.perplexity) < 1e-3);
        QVERIFY(std::abs(number(1, 2) - rounded.divergence) < 1e-3);
        if (fitted)
            QVERIFY(std::abs(number(2, 2) - history.evaluations.front().divergence) < 1e-3);
        QVERIFY(std::abs(number(fitted ? 3 : 2, 2) - history.evaluations.back().divergence) < 1e-3);
        picture(QStringLiteral("qat_page_%1").arg(QString::fromUtf8(QTest::currentDataTag())));
    }

    void stoppedAndContinuedItIsTheSame()
    {
        // So many that a quick machine is stopped before the last, too.
        constexpr int longer = 16 * int(steps);
        const auto start = [&] {
            begin(QStringLiteral("int3:g32:asymf"), StepRule::Affine);
            child<QSpinBox>("train-steps")->setValue(longer);
            click("start-training");
        };
        start();
        QVERIFY(ends(QuantizedTraining::State::Done));
        const auto whole = m_page->findChild<LossPlot*>()->data();
        QCOMPARE(whole.lines[0].values.size(), std::size_t(longer));
        start();
        QTRY_VERIFY_WITH_TIMEOUT(training()->snapshot() && training()->snapshot()->history.steps.size() >= 2, patience);
        click("stop-training");
        QVERIFY(ends(QuantizedTraining::State::Stopped));
        const auto stopped = m_page->findChild<LossPlot*>()->data();
        QVERIFY(stopped.lines[0].values.size() < std::size_t(longer));
        QCOMPARE(button("start-training")->text().remove(u'&'), QStringLiteral("Continue"));
        click("start-training");
        QVERIFY(ends(QuantizedTraining::State::Done));
        QVERIFY(m_page->findChild<LossPlot*>()->data() == whole);
        QVERIFY(!button("start-training")->isEnabled());
    }

    /// The recipe with its algorithms, on the text that training is judged by.
    void comparesTheRecipe()
    {
        QVERIFY(isTrained());
        m_workbench->setDefaultScheme(Scheme::parse("int3:g32:asym+hqq").value());
        QVERIFY(settled());
        const auto* table = child<QTableWidget>("training-figures");
        QCOMPARE(table->rowCount(), 3);
        click("compare-recipe");
        QVERIFY(settled());
        QTRY_COMPARE(table->rowCount(), 4);
        const ByHand hand(*m_workbench->model(), m_text, QStringLiteral("int3:g32:asym+hqq"), StepRule::Estimated);
        const auto hooks =
            quantizedModel(*m_workbench->model(), m_workbench->plan(), std::nullopt, ActivationRanges {}, {}).value();
        Progress progress;
        const auto found = evaluate(hand.decoder, hand.texts.heldOut, hooks, {.threads = 1}, {}, progress).value();
        QVERIFY(std::abs(QLocale().toDouble(table->item(2, 2)->text()) - found.divergence->mean) < 1e-3);
        // Better than rounding, of the same size.
        QVERIFY(QLocale().toDouble(table->item(2, 2)->text()) < QLocale().toDouble(table->item(1, 2)->text()));
        m_workbench->undoStack()->undo();
        QVERIFY(settled());
    }

    void roundsInputsAsTheRecipeSays()
    {
        const auto scheme = QStringLiteral("int4:g32:asym/int8:token");
        const ByHand hand(*m_workbench->model(), m_text, scheme, StepRule::Estimated);
        auto recipe = Recipe::uniform(Scheme::parse("int4:g32:asym").value(), m_workbench->catalog());
        recipe.activations = Scheme::parse("int8:token").value();
        m_workbench->setRecipe(recipe, QStringLiteral("Inputs, too"));
        QVERIFY(settled());
        begin(QStringLiteral("int4:g32:asym"), StepRule::Estimated);
        child<QComboBox>("train-what")->setCurrentIndex(2);
        QVERIFY(button("start-training")->isEnabled());
        click("start-training");
        QVERIFY2(ends(QuantizedTraining::State::Done), qPrintable(status()));
        const auto training = hand.begin();
        Progress progress;
        QVERIFY(training->run({}, progress));
        QVERIFY(this->training()->snapshot()->history == training->history());
        discard();
        child<QComboBox>("train-what")->setCurrentIndex(0);
        m_workbench->undoStack()->undo();
        QVERIFY(settled());
    }

    /// Another layer while nothing runs: looked at anew.
    void showsAnotherLayer()
    {
        QVERIFY(isTrained());
        const auto layer = QStringLiteral("model.layers.0.self_attn.q_proj.weight");
        m_workbench->select({layer});
        QTRY_COMPARE_WITH_TIMEOUT(m_page->findChild<LevelHistogramPlot*>()->data().tensor, layer, patience);
        QVERIFY(child<QLabel>("watched-layer")->text().contains(layer));
        // One that is not trained leaves the last in its place.
        m_workbench->select({QStringLiteral("model.embed_tokens.weight")});
        QVERIFY(settled());
        QCOMPARE(m_page->findChild<LevelHistogramPlot*>()->data().tensor, layer);
    }

    void writesWhatWasTrained()
    {
        QVERIFY(isTrained());
        QTRY_VERIFY_WITH_TIMEOUT(button("save-trained")->isEnabled(), patience);
        QVERIFY(m_page->holdsUnsavedTraining());
        QStringList offered, refused;
        for (const auto* action : button("save-trained")->menu()->actions())
            (action->isEnabled() ? offered : refused) << action->objectName();
        QVERIFY2(offered.contains(QStringLiteral("fake-quantized")), qPrintable(offered.join(u' ')));
        QVERIFY2(refused.contains(QStringLiteral("onnx-qdq")), qPrintable(refused.join(u' ')));

        QSignalSpy written(training(), &QuantizedTraining::written);
        QSignalSpy failed(m_workbench.get(), &Workbench::failed);
        const auto path = m_folder.filePath(QStringLiteral("trained"));
        training()->write(*findCheckpointTarget("fake-quantized"), path);
        QVERIFY(settled());
        QVERIFY2(failed.isEmpty(), failed.isEmpty() ? "" : qPrintable(failed.front().at(1).toString()));
        QCOMPARE(written.size(), 1);
        QVERIFY2(status().contains(QStringLiteral("Wrote trained")), qPrintable(status()));
        QVERIFY(!m_page->holdsUnsavedTraining());
        const auto model = openModel(path.toStdString());
        QVERIFY(model);
        const ByHand hand(*m_workbench->model(), m_text, QStringLiteral("int3:g32:asym"), StepRule::Estimated);
        const auto byHand = hand.begin();
        Progress progress;
        QVERIFY(byHand->run({}, progress));
        for (const auto& matrix : byHand->student().matrices()) {
            const auto& name = m_workbench->model()->tensors[matrix.tensor].name;
            const auto& tensor = (*model)->tensors[(*model)->find(name).value()];
            std::vector<float> read(matrix.quantized.size());
            decodeRows(tensor.view, 0, matrix.rows, read);
            QVERIFY2(read == matrix.quantized, name.c_str());
        }
    }

    /// Layers that are not selected stay as stored.
    void trainsTheSelectionAlone()
    {
        discard();
        const QStringList layers {
            QStringLiteral("model.layers.1.mlp.up_proj.weight"), QStringLiteral("model.layers.1.mlp.down_proj.weight")};
        m_workbench->select(layers);
        auto* what = child<QComboBox>("train-what");
        what->setCurrentIndex(1);
        QVERIFY(what->currentText().contains(u'2'));
        chooseScheme(QStringLiteral("int2:g32:asym"));
        chooseRule(StepRule::Estimated);
        click("start-training");
        QVERIFY(ends(QuantizedTraining::State::Done));
        auto trained = training()->snapshot()->trained;
        QCOMPARE(trained.size(), std::size_t(2));
        for (const auto& name : trained)
            QVERIFY(layers.contains(QString::fromStdString(name)));
        discard();
        what->setCurrentIndex(0);
    }

    void discardedItIsForgotten()
    {
        QVERIFY(isTrained());
        QVERIFY(m_page->findChild<LossPlot*>()->hasData());
        click("discard-training");
        auto* box = m_page->findChild<QMessageBox*>();
        QVERIFY(box);
        QTest::mouseClick(box->button(QMessageBox::Cancel), Qt::LeftButton);
        QCOMPARE(training()->state(), QuantizedTraining::State::Done);
        discard();
        QCOMPARE(training()->state(), QuantizedTraining::State::None);
        for (const auto* plot : m_page->findChildren<Plot*>())
            QVERIFY2(!plot->hasData(), qPrintable(plot->title()));
        QVERIFY(!m_page->holdsUnsavedTraining());
        QCOMPARE(child<QTableWidget>("training-figures")->rowCount(), 0);
        QVERIFY(child<QWidget>("train-steps")->isEnabled());
        QVERIFY(button("start-training")->isEnabled());
    }

    void whatIsTooLargeIsRefused()
    {
        QSignalSpy failed(m_workbench.get(), &Workbench::failed);
        begin(QStringLiteral("int3:g32:asym"), StepRule::Estimated);
        child<QSpinBox>("train-batch")->setValue(4096);
        child<QSpinBox>("train-memory")->setValue(1);
        click("start-training");
        QVERIFY(settled());
        QCOMPARE(failed.size(), 1);
        QVERIFY(failed.front().at(1).toString().contains(QStringLiteral("bytes are too few")));
        QCOMPARE(training()->state(), QuantizedTraining::State::None);
        QVERIFY(button("start-training")->isEnabled());
        child<QSpinBox>("train-memory")->setValue(4);
    }

    /// Last: another model takes the page.
    void anotherModelEndsIt()
    {
        begin(QStringLiteral("int3:g32:asym"), StepRule::Estimated);
        child<QSpinBox>("train-steps")->setValue(100'000);
        click("start-training");
        QTRY_VERIFY_WITH_TIMEOUT(training()->snapshot() != nullptr, patience);
        const auto tiny =
            tests::writeTinyModel(m_folder.filePath(QStringLiteral("tiny.safetensors")).toStdString(), 1, 32);
        QVERIFY(open(QString::fromStdString(tiny.string())));
        QCOMPARE(training()->state(), QuantizedTraining::State::None);
        QTRY_VERIFY_WITH_TIMEOUT(reason().contains(QStringLiteral("cannot be trained")), patience);
        QVERIFY(!isOpen());
        picture(QStringLiteral("qat_page_cannot"));
    }
};

QTEST_MAIN(TestQatPage)
#include "tst_qat_page.moc"
