// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/dialogs/scheme_help_dialog.h"

#include "widgets/docks/scheme_choices.h"

#include <QDialogButtonBox>
#include <QTextBrowser>
#include <QVBoxLayout>

SchemeHelpDialog::SchemeHelpDialog(QWidget* parent)
    : QDialog(parent)
{
    setWindowTitle(tr("Scheme notation"));
    const auto code = [](const QStringList& words) {
        QStringList marked;
        for (const auto& word : words)
            marked << QStringLiteral("<code>%1</code>").arg(word);
        return marked.join(QStringLiteral(", "));
    };
    const auto row = [](const QString& part, const QString& words, const QString& meaning) {
        return QStringLiteral("<tr><td><b>%1</b></td><td>%2</td><td>%3</td></tr>").arg(part, words, meaning);
    };
    QString formats, algorithms;
    for (const auto& group : formatGroups()) {
        QStringList names;
        for (const auto format : group.formats)
            names << wordText(nameOf(format));
        formats += row(group.title, code(names), group.explanation);
    }
    for (const auto algorithm : algorithmsFor({}))
        algorithms += row(code({wordText(nameOf(algorithm))}), nameInWords(algorithm), explanationOf(algorithm));
    const auto table = QStringLiteral("<table cellspacing=\"8\">%1</table>");
    auto* text = new QTextBrowser;
    text->setHtml(
        tr("<p>One line names a scheme everywhere: in cells, recipes, studies and on the command line. A format comes "
           "first; parts follow in the order below, separated by colons; what is left out has its default.</p>")
        + table.arg(row(tr("granularity"),
                        code({QStringLiteral("tensor"), QStringLiteral("channel"), QStringLiteral("g128"),
                            QStringLiteral("b16x16")}),
                        tr("which weights share a scale; gN: N weights along the input, bRxC: R rows by C columns"))
            + row(tr("symmetry"),
                code({QStringLiteral("sym"), QStringLiteral("symf"), QStringLiteral("asym"), QStringLiteral("asymf")}),
                tr("restricted or full range about zero, integer zero point, floating minimum"))
            + row(tr("range"),
                code({QStringLiteral("minmax"), QStringLiteral("p99.9"), QStringLiteral("mse"),
                    QStringLiteral("entropy")}),
                tr("how the range of a scale is chosen; entropy for integers per channel or tensor"))
            + row(tr("scale"),
                code({QStringLiteral("s16"), QStringLiteral("s32"), QStringLiteral("sbf16"), QStringLiteral("se8m0"),
                    QStringLiteral("s8")}),
                tr("how scales are stored; counted in every size"))
            + row(tr("algorithms"), code({QStringLiteral("+hadamard"), QStringLiteral("+cle")}),
                tr("what is done beside rounding, in this order of work")))
        + tr("<h3>Formats</h3>") + table.arg(formats) + tr("<h3>Algorithms</h3>") + table.arg(algorithms)
        + tr("<p><code>int8</code> means <code>int8:channel:sym:minmax:s16</code>; <code>int4</code> and below mean "
             "<code>g128</code>. <code>int4:g32:asym:mse</code> is 4 bits, 32 weights to a scale, an integer zero "
             "point, and ranges that give the least squared error. Formats of the microscaling and ggml kinds have "
             "blocks and scales of their own and take no parts.</p>"
             "<p>In recipes, <code>*</code> stands for any run of characters, dots included; what is kept stays as "
             "stored, and the last rule that matches wins.</p>"));
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(text);
    layout->addWidget(buttons);
    resize(760, 560);
}
