// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/qat_layers.h"

#include "core/algorithms/combinations.h"
#include "core/recipes/edit.h"
#include "widgets/pages/qat_verdicts.h"
#include "widgets/pages/row_table.h"
#include "widgets/pages/section.h"
#include "widgets/plots/training_curve_plot.h"
#include "widgets/support/format_text.h"
#include "widgets/workbench/workbench.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QSignalBlocker>
#include <QSplitter>
#include <QStackedWidget>
#include <QTableWidget>
#include <QVBoxLayout>

#include <algorithm>
#include <map>
#include <utility>

using quantloupe::LayerTrainingResult;

namespace {

enum Column { Layer, Nearest, Gptq, Trained, BeganAs, BeganWith, Kept, Verdict, ColumnCount };

QTableWidget* makeTable()
{
    auto* table = new QTableWidget(0, ColumnCount);
    const std::pair<QString, QString> headings[] {
        {QatLayers::tr("Layer"), QatLayers::tr("In the order of the training")},
        {QatLayers::tr("RTN"), QatLayers::tr("Rounded to nearest by the scheme's own range")},
        {QatLayers::tr("GPTQ"), QatLayers::tr("Rounded by GPTQ, where it rounds the format")},
        {QatLayers::tr("QAT"), QatLayers::tr("As training left it")},
        {QatLayers::tr("Began as"),
            QatLayers::tr("What the training began from: rtn, gptq, or cd (coordinate descent behind GPTQ)")},
        {QatLayers::tr("with"), QatLayers::tr("What that loses, before any step")},
        {QatLayers::tr("Step kept"), QatLayers::tr("So many steps led to what is kept; 0: none made it better")},
        {QatLayers::tr("QAT is"), QatLayers::tr("On tokens that nothing was chosen by")},
    };
    for (int column = 0; column < ColumnCount; ++column) {
        auto* heading = new QTableWidgetItem(headings[column].first);
        const bool figure = column == Nearest || column == Gptq || column == Trained || column == BeganWith;
        heading->setToolTip(headings[column].second
            + (figure ? QatLayers::tr(". Share of the layer's output that is error, ‖E·x‖² over ‖W·x‖², on held-out "
                                      "inputs that nothing was chosen by. Lower is better.")
                      : QStringLiteral(".")));
        table->setHorizontalHeaderItem(column, heading);
    }
    table->setObjectName(QStringLiteral("layer-figures"));
    table->setAccessibleName(QatLayers::tr("Rounding and training of each layer side by side"));
    setUpRowTable(table);
    table->setWordWrap(false);
    table->setTextElideMode(Qt::ElideMiddle);
    table->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    table->horizontalHeader()->setSectionResizeMode(Layer, QHeaderView::Stretch);
    return table;
}

void setCell(QTableWidget* table, int row, int column, const QString& text)
{
    auto* item = table->item(row, column);
    if (!item) {
        item = new QTableWidgetItem;
        const bool isText = column == Layer || column == BeganAs || column == Verdict;
        item->setTextAlignment((isText ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter);
        table->setItem(row, column, item);
    }
    item->setText(text);
    item->setToolTip(text);
}

QString shareOf(const quantloupe::LayerMethod& method)
{
    return format::number(method.heldOut.relative, 4);
}

QLabel* makeSentence(const QString& name)
{
    auto* label = new QLabel;
    label->setObjectName(name);
    label->setWordWrap(true);
    label->setTextInteractionFlags(Qt::TextSelectableByMouse);
    return label;
}

}  // namespace

QatLayers::QatLayers(Workbench* workbench, QWidget* parent)
    : QWidget(parent)
    , m_workbench(workbench)
    , m_results(new QStackedWidget)
    , m_table(makeTable())
    , m_loss(new LayerLossPlot)
    , m_summary(makeSentence(QStringLiteral("layers-summary")))
    , m_verdict(makeSentence(QStringLiteral("layer-verdict")))
    , m_adoption(makeSentence(QStringLiteral("layers-adoption")))
    , m_adopt(new QPushButton(tr("Add +&qat to the recipe")))
    , m_calibrate(new QPushButton(tr("Calibrate on this &text")))
{
    m_results->addWidget(
        emptyState(tr("Choose layers and a text, and start: each layer is rounded to nearest and by "
                      "GPTQ, trained by itself on what its outputs lose, and judged on held-out text")));
    m_results->addWidget(m_table);
    auto* splitter = new QSplitter(Qt::Vertical);
    splitter->addWidget(new Section(tr("What each layer loses"),
        tr("The same scheme rounded to nearest, by GPTQ and trained, on held-out inputs of the layer"), m_results));
    splitter->addWidget(makeBelow());
    splitter->setChildrenCollapsible(false);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins({});
    layout->addWidget(splitter);
    connect(m_table, &QTableWidget::itemSelectionChanged, this, [this] {
        showChosen();
        if (const auto rows = m_table->selectionModel()->selectedRows(); !rows.isEmpty())
            m_workbench->select({m_table->item(rows.first().row(), Layer)->text()});
    });
    connect(m_table, &QTableWidget::itemActivated, this,
        [this](const QTableWidgetItem* item) { m_workbench->openLayer(m_table->item(item->row(), Layer)->text()); });
    connect(m_adopt, &QPushButton::clicked, this, &QatLayers::adopt);
    connect(m_calibrate, &QPushButton::clicked, this, [this] {
        if (m_request)
            m_workbench->calibrate(QString::fromStdU16String(m_request->text.u16string()), m_request->tokens);
        showAdoption();
    });
    connect(m_workbench, &Workbench::selectionChanged, this, &QatLayers::followSelection);
    connect(m_workbench, &Workbench::studyChanged, this, &QatLayers::showAdoption);
    connect(m_workbench, &Workbench::recipeChanged, this, &QatLayers::showAdoption);
    setContent(nullptr, nullptr, false);
}

QWidget* QatLayers::makeBelow()
{
    m_adopt->setObjectName(QStringLiteral("adopt-layers"));
    m_calibrate->setObjectName(QStringLiteral("calibrate-for-layers"));
    m_calibrate->setToolTip(tr("Runs the model on the text that was trained on, and keeps what goes into each layer in "
                               "the study"));
    auto* buttons = new QHBoxLayout;
    buttons->addWidget(m_adopt);
    buttons->addWidget(m_calibrate);
    buttons->addStretch(1);
    auto* sentences = new QWidget;
    auto* column = new QVBoxLayout(sentences);
    column->addWidget(m_verdict);
    column->addWidget(m_summary);
    column->addLayout(buttons);
    column->addWidget(m_adoption);
    column->addStretch(1);
    auto* below = new QSplitter;
    below->addWidget(new Section(m_loss->title(), m_loss->accessibleDescription(), m_loss));
    below->addWidget(new Section(
        tr("Would QAT rescue this layer?"), tr("Of the layer that is selected above, else the last"), sentences));
    below->setSizes({550, 450});
    below->setChildrenCollapsible(false);
    return below;
}

QString QatLayers::nameOf(const quantloupe::TrainedTensor& trained) const
{
    return QString::fromStdString(m_request->model->tensors[trained.tensor].name);
}

void QatLayers::setContent(TrainingSnapshotPointer snapshot, const TrainingRequest* request, bool runs)
{
    m_snapshot = std::move(snapshot);
    m_request = request ? std::optional(*request) : std::nullopt;
    m_runs = runs;
    showRows();
    showChosen();
    showSummary();
    showAdoption();
}

void QatLayers::showRows()
{
    const auto* shown = layers();
    const auto count = static_cast<int>(shown ? shown->planned.size() : 0);
    m_results->setCurrentIndex(count > 0 ? 1 : 0);
    if (count != m_table->rowCount() || (shown && m_shown > shown->trained.size())
        || (count > 0 && m_table->item(0, Layer)->text().toStdString() != shown->planned.front())) {
        const QSignalBlocker blocker(m_table);
        m_shown = 0;
        m_table->clearSelection();
        m_table->setRowCount(0);
        m_table->setRowCount(count);
        for (int row = 0; row < count; ++row)
            showRow(row);
    }
    if (!shown)
        return;
    // One more than were trained before: it trains.
    const auto last = std::min(shown->trained.size() + 1, shown->planned.size());
    for (auto row = m_shown; row < last; ++row)
        showRow(static_cast<int>(row));
    m_shown = shown->trained.size();
}

void QatLayers::showRow(int row)
{
    const auto& shown = *layers();
    const auto place = static_cast<std::size_t>(row);
    setCell(m_table, row, Layer, QString::fromStdString(shown.planned[place]));
    if (place >= shown.trained.size()) {
        for (const int column : {Nearest, Gptq, Trained, BeganWith, Kept})
            setCell(m_table, row, column, format::none());
        setCell(m_table, row, BeganAs, format::none());
        const bool isNext = place == shown.trained.size();
        setCell(m_table, row, Verdict,
            !isNext || !m_runs        ? tr("not trained yet")
                : shown.steps.empty() ? tr("being rounded…")
                                      : tr("step %1").arg(format::integer(shown.steps.back().step + 1)));
        return;
    }
    const auto& result = shown.trained[place]->result;
    setCell(m_table, row, Nearest, shareOf(result.nearest));
    setCell(m_table, row, Gptq, result.gptq ? shareOf(*result.gptq) : format::none());
    setCell(m_table, row, Trained, shareOf(result.trained));
    const auto start = quantloupe::nameOf(result.start);
    setCell(m_table, row, BeganAs, QString::fromUtf8(start.data(), qsizetype(start.size())));
    setCell(m_table, row, BeganWith, shareOf(result.begun));
    setCell(m_table, row, Kept, format::integer(result.keptStep));
    setCell(m_table, row, Verdict, verdictWords(result.verdict()));
}

std::size_t QatLayers::chosen() const
{
    const auto* shown = layers();
    if (const auto rows = m_table->selectionModel()->selectedRows(); !rows.isEmpty())
        return static_cast<std::size_t>(rows.first().row());
    if (!shown || shown->trained.empty())
        return 0;
    const bool trains = m_runs && !shown->isDone();
    return trains ? shown->trained.size() : shown->trained.size() - 1;
}

void QatLayers::showChosen()
{
    const auto* shown = layers();
    const auto place = chosen();
    if (!shown || place >= shown->planned.size()) {
        m_loss->setData({});
        m_verdict->setText(tr("What training wins over rounding is said here once a layer is trained."));
        return;
    }
    const auto& options = m_request->layers->layer;
    const bool isTrained = place < shown->trained.size();
    const auto* result = isTrained ? &shown->trained[place]->result : nullptr;
    TrainingCurvesData curves {.lines = {{.name = tr("Loss")}}, .steps = options.steps};
    const auto addLoss = [&](const std::vector<quantloupe::LayerTrainingStep>& steps) {
        for (const auto& step : curvePoints(steps)) {
            curves.lines[0].steps.push_back(step.step);
            curves.lines[0].values.push_back(step.loss);
        }
    };
    if (result) {
        addLoss(result->history.steps);
        curves.steps = std::max<std::uint64_t>(1, result->history.steps.size());
        auto& deciding = curves.lines.emplace_back(TrainingCurve {.name = tr("Held-out tokens that decide")});
        for (const auto& found : result->history.evaluations) {
            deciding.steps.push_back(found.step);
            deciding.values.push_back(found.deciding.squared);
        }
    } else if (place == shown->trained.size()) {
        addLoss(shown->steps);
    }
    m_loss->setData(std::move(curves));
    const auto name = QString::fromStdString(shown->planned[place]);
    m_verdict->setText(result ? tr("%1: %2").arg(name, verdictSentence(*result))
            : m_runs && place == shown->trained.size()
            ? tr("%1 is being trained: what it comes to is judged at its end.").arg(name)
            : tr("%1 is not trained yet.").arg(name));
}

void QatLayers::showSummary()
{
    m_summary->setText(layers() ? verdictOfAll(*layers()) : QString());
    m_summary->setVisible(!m_summary->text().isEmpty());
}

std::vector<TrainedTensorPointer> QatLayers::gained() const
{
    std::vector<TrainedTensorPointer> better;
    if (const auto* shown = layers())
        std::copy_if(shown->trained.begin(), shown->trained.end(), std::back_inserter(better),
            [](const TrainedTensorPointer& one) {
                return one->result.beatsStart() && one->result.beatsNearest() && one->result.beatsGptq();
            });
    return better;
}

namespace {

/// The recipe's scheme for a layer that training helps: its own, trained when it is measured or exported.
quantloupe::Scheme trainedScheme(const LayerTrainingResult& result)
{
    auto scheme = result.layer->quantizer.scheme();
    scheme.algorithms = {quantloupe::Algorithm::Qat};
    return scheme;
}

}  // namespace

void QatLayers::showAdoption()
{
    const auto better = gained();
    const bool calibrated = m_workbench->calibration() == quantloupe::Calibration::Given;
    QString refusal;
    bool isAdopted = !better.empty();
    for (const auto& one : better) {
        const auto scheme = trainedScheme(one->result);
        if (refusal.isEmpty())
            refusal = QString::fromStdString(quantloupe::algorithmRefusal(scheme, quantloupe::Calibration::Given));
        isAdopted = isAdopted && m_workbench->schemeOf(nameOf(*one)) == scheme;
    }
    m_adopt->setEnabled(!m_runs && !better.empty() && calibrated && refusal.isEmpty() && !isAdopted);
    m_calibrate->setVisible(!m_runs && !better.empty() && !calibrated && refusal.isEmpty());
    const auto* shown = layers();
    m_adopt->setVisible(shown != nullptr);
    m_adoption->setVisible(shown != nullptr);
    if (!shown || m_runs)
        m_adoption->setText(
            shown ? tr("When the training rests, layers that it helps can go into the recipe.") : QString());
    else if (better.empty())
        m_adoption->setText(shown->trained.empty()
                ? QString()
                : tr("Training makes none of these layers better than its start, rounding and GPTQ."));
    else if (!refusal.isEmpty())
        m_adoption->setText(refusal);
    else if (!calibrated)
        m_adoption->setText(tr("+qat goes by what calibration keeps of the layers' inputs, and nothing is kept yet."));
    else if (isAdopted)
        m_adoption->setText(
            tr("The recipe trains the layers that training helps: %1.").arg(format::integer(better.size())));
    else
        m_adoption->setText(
            tr("For the layers that training helps: %1. Their rows are trained anew on the calibrated inputs when they "
               "are measured or exported; the very codes of this table are in a saved checkpoint.")
                .arg(format::integer(better.size())));
}

void QatLayers::adopt()
{
    std::map<std::string, std::vector<std::string>> names;  // by scheme
    const auto better = gained();
    for (const auto& one : better)
        names[trainedScheme(one->result).toString()].push_back(nameOf(*one).toStdString());
    auto recipe = m_workbench->recipe();
    for (const auto& [text, tensors] : names)
        recipe =
            quantloupe::setScheme(recipe, m_workbench->catalog(), tensors, quantloupe::Scheme::parse(text).value());
    m_workbench->setRecipe(
        recipe, better.size() == 1 ? tr("Train one layer") : tr("Train %1 layers").arg(format::integer(better.size())));
    showAdoption();
}

/// What is selected elsewhere in the window.
void QatLayers::followSelection()
{
    const auto* shown = layers();
    if (!shown)
        return;
    const auto found =
        std::find(shown->planned.begin(), shown->planned.end(), m_workbench->currentTensor().toStdString());
    if (found == shown->planned.end())
        return;
    const QSignalBlocker blocker(m_table);
    m_table->selectRow(static_cast<int>(found - shown->planned.begin()));
    showChosen();
}
