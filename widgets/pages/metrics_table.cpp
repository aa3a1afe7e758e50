// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/metrics_table.h"

#include "core/model/catalog.h"
#include "widgets/support/format_text.h"
#include "widgets/theme/fonts.h"

#include <QEvent>
#include <QHeaderView>

#include <array>
#include <cmath>
#include <functional>
#include <limits>

using quantloupe::SchemeMeasurement;

namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

/// One row: how its number comes from a measurement and how it is written.
struct Row {
    const char* name;
    const char* explanation;
    QString (*write)(double);
    double (*value)(const SchemeMeasurement&);
    double lossless;  ///< of the tensor as stored
};

QString fourDigits(double value)
{
    return format::number(value, 3);
}

QString bits(double value)
{
    return std::isnan(value)
        ? format::none()
        : QLocale().toString(value, 'f', 2).replace(QLocale().negativeSign(), QString(QChar(0x2212)));
}

QString wholeBytes(double value)
{
    return std::isnan(value) ? format::none() : format::bytes(static_cast<std::uint64_t>(value));
}

QString decibels(double value)
{
    return format::decibels(value);
}

QString percent(double value)
{
    return format::percent(value);
}

const std::array rows {
    Row {QT_TRANSLATE_NOOP("MetricsTable", "SQNR"),
        QT_TRANSLATE_NOOP("MetricsTable",
            "Signal to quantization noise: energy of the weights over energy of the error, in decibels. Higher is "
            "better; 6 dB is about one bit. It knows nothing of how much a layer matters to the output."),
        decibels, [](const SchemeMeasurement& m) { return m.error.sqnrDb(); }, std::numeric_limits<double>::infinity()},
    Row {QT_TRANSLATE_NOOP("MetricsTable", "Relative error"),
        QT_TRANSLATE_NOOP("MetricsTable", "Energy of the error over energy of the weights. Lower is better."), percent,
        [](const SchemeMeasurement& m) { return m.error.relativeError(); }, 0.0},
    Row {QT_TRANSLATE_NOOP("MetricsTable", "Mean squared error"),
        QT_TRANSLATE_NOOP("MetricsTable",
            "Mean of the squared error per weight. Lower is better; compare it only between schemes of one tensor."),
        fourDigits, [](const SchemeMeasurement& m) { return m.error.mse(); }, 0.0},
    Row {QT_TRANSLATE_NOOP("MetricsTable", "Cosine similarity"),
        QT_TRANSLATE_NOOP("MetricsTable",
            "Cosine of the angle between original and quantized weights, 1 when they point the same way. It does not "
            "see "
            "a wrong overall scale."),
        [](double value) { return format::number(value, 6); },
        [](const SchemeMeasurement& m) { return m.error.cosine(); }, 1.0},
    Row {QT_TRANSLATE_NOOP("MetricsTable", "Largest error"),
        QT_TRANSLATE_NOOP("MetricsTable", "Largest error of any one weight. One outlier decides it."), fourDigits,
        [](const SchemeMeasurement& m) { return m.error.maxAbsError; }, 0.0},
    Row {QT_TRANSLATE_NOOP("MetricsTable", "Mean error"),
        QT_TRANSLATE_NOOP("MetricsTable",
            "Mean of original minus quantized: a bias that shifts the layer's output. Near zero is good."),
        fourDigits, [](const SchemeMeasurement& m) { return m.error.meanError(); }, 0.0},
    Row {QT_TRANSLATE_NOOP("MetricsTable", "Clipped"),
        QT_TRANSLATE_NOOP("MetricsTable",
            "Share of weights beyond the range, moved to its end. A tight range clips a few and serves the rest "
            "better."),
        percent, [](const SchemeMeasurement& m) { return m.error.clippedRatio(); }, 0.0},
    Row {QT_TRANSLATE_NOOP("MetricsTable", "Size"),
        QT_TRANSLATE_NOOP("MetricsTable", "Bytes in a file, with scales, zero points and padding."), wholeBytes,
        [](const SchemeMeasurement& m) { return static_cast<double>(m.storedBytes); }, unknown},
    Row {QT_TRANSLATE_NOOP("MetricsTable", "Bits per weight"),
        QT_TRANSLATE_NOOP("MetricsTable", "The size shared among the weights."), bits,
        [](const SchemeMeasurement& m) { return m.bitsPerWeight; }, unknown},
};
constexpr int sizeRow = 7;
constexpr int bitsRow = 8;
constexpr int entropyRow = static_cast<int>(rows.size());

}  // namespace

MetricsTable::MetricsTable(QWidget* parent)
    : QTableWidget(static_cast<int>(rows.size()) + 1, ColumnCount, parent)
{
    setAccessibleName(tr("Figures of this layer"));
    setEditTriggers(NoEditTriggers);
    setSelectionBehavior(SelectRows);
    setAlternatingRowColors(true);
    setShowGrid(false);
    setWordWrap(false);
    setTabKeyNavigation(false);
    verticalHeader()->hide();
    verticalHeader()->setDefaultSectionSize(fontMetrics().lineSpacing() + 8);
    horizontalHeader()->setHighlightSections(false);
    horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    horizontalHeader()->setStretchLastSection(true);
    setHorizontalScrollMode(ScrollPerPixel);
    setFont(tabularFont(font()));
    for (int row = 0; row < rowCount(); ++row)
        for (int column = 0; column < ColumnCount; ++column) {
            auto* item = new QTableWidgetItem;
            item->setTextAlignment(Qt::AlignVCenter | (column == Metric ? Qt::AlignLeft : Qt::AlignRight));
            const auto explanation = row == entropyRow ? tr("How many bits the codes really carry, by their entropy. "
                                                            "Far below the code width, a smaller format "
                                                            "or a tighter range would do.")
                                                       : tr(rows[static_cast<std::size_t>(row)].explanation);
            item->setToolTip(explanation);
            item->setWhatsThis(explanation);
            setItem(row, column, item);
        }
    for (std::size_t row = 0; row < rows.size(); ++row)
        item(static_cast<int>(row), Metric)->setText(tr(rows[row].name));
    item(entropyRow, Metric)->setText(tr("Entropy (bits)"));
    setFigures({});
}

void MetricsTable::setFigures(const Figures& figures)
{
    auto scheme = figures.current ? QString::fromStdString(figures.current->scheme.toString()) : tr("Quantized");
    if (figures.isPreview)
        scheme = tr("Preview: %1").arg(scheme);
    setHorizontalHeaderLabels(
        {tr("Figure"), tr("As stored"), scheme, figures.pinned ? tr("Minus %1").arg(figures.pinnedName) : QString()});
    setColumnHidden(Difference, !figures.pinned);
    for (int column = 0; column < ColumnCount; ++column)
        horizontalHeaderItem(column)->setTextAlignment(
            Qt::AlignVCenter | (column == Metric ? Qt::AlignLeft : Qt::AlignRight));
    horizontalHeaderItem(Difference)->setToolTip(tr("The scheme now minus the scheme pinned last."));
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto& row = rows[i];
        const int index = static_cast<int>(i);
        double before = figures.tensor ? row.lossless : unknown;
        if (figures.tensor && index == sizeRow)
            before = static_cast<double>(figures.tensor->bytes);
        if (figures.tensor && index == bitsRow)
            before = quantloupe::bitsPerElement(figures.tensor->dtype);
        const double after = figures.current ? row.value(*figures.current) : unknown;
        const double pinned = figures.current && figures.pinned ? row.value(*figures.pinned) : unknown;
        const double difference = after - pinned;
        item(index, Before)->setText(row.write(before));
        item(index, After)->setText(row.write(after));
        // Bytes have no sign of their own; everything else is written like its values.
        QString text = format::none();
        if (index == sizeRow && !std::isnan(difference))
            text = format::signedBytes(static_cast<std::int64_t>(difference));
        else if (!std::isnan(difference))
            text = (difference > 0.0 ? QStringLiteral("+") : QString()) + row.write(difference);
        item(index, Difference)->setText(text);
    }
    const bool entropyKnown = figures.inspection && !figures.inspection->occupancy.empty();
    item(entropyRow, Before)->setText(format::none());
    item(entropyRow, After)->setText(bits(entropyKnown ? figures.inspection->entropyBits : unknown));
    item(entropyRow, Difference)->setText(format::none());
}

QSize MetricsTable::sizeHint() const
{
    int height = horizontalHeader()->sizeHint().height() + 2 * frameWidth();
    for (int row = 0; row < rowCount(); ++row)
        height += rowHeight(row);
    return {fontMetrics().averageCharWidth() * 60, height};
}

void MetricsTable::changeEvent(QEvent* event)
{
    if (event->type() == QEvent::FontChange)
        verticalHeader()->setDefaultSectionSize(fontMetrics().lineSpacing() + 8);
    QTableWidget::changeEvent(event);
}
